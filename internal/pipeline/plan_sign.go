package pipeline

import (
	"strings"

	"github.com/relmat/relmat/internal/matrix"
)

// SignPlan says how a target's own programs are signed.
type SignPlan struct {
	// Tool is the matrix's word, none for programs that are not signed; Reason
	// says why then.
	Tool   string `json:"tool"`
	Reason string `json:"reason,omitempty"`
	// Key names the key as the matrix does: where its keystore is, or which
	// certificate of the user's store it is.
	Key string `json:"key,omitempty"`
	// Timestamp are the time stamp servers in their order.
	Timestamp []string `json:"timestamp,omitempty"`
	// Secrets are the variables that the tool gets and nothing else does.
	Secrets []string `json:"secrets,omitempty"`
}

func planSign(s matrix.Sign) *SignPlan {
	if s.Tool == "" {
		return nil
	}
	p := &SignPlan{Tool: s.Tool}
	if !s.Signs() {
		p.Reason = s.Reason
		return p
	}
	var key []string
	for _, k := range []string{s.Keystore, s.Thumbprint, s.Subject, s.Metadata, s.Alias} {
		if k != "" {
			key = append(key, k)
		}
	}
	p.Key, p.Timestamp, p.Secrets = strings.Join(key, ", "), s.Timestamp, s.SecretVariables()
	return p
}

// String is the plan in one line.
func (p SignPlan) String() string {
	if p.Tool == matrix.SignNone {
		return "not signed: " + p.Reason
	}
	text := p.Tool
	if p.Key != "" {
		text += " with " + p.Key
	}
	if len(p.Timestamp) == 0 {
		return text + ", without a time stamp"
	}
	return text + ", time stamp of " + strings.Join(p.Timestamp, " or else ")
}
