package sign

import (
	"context"
	"fmt"
	"strings"

	"github.com/relmat/relmat/internal/matrix"
)

// command is any other tool, by the matrix's command line.
type command struct{ t *Tool }

var (
	_ Signer        = command{}
	_ stampedSigner = command{}
)

func newCommand(t *Tool) Signer { return command{t} }

func (s command) Sign(ctx context.Context, file string) error { return s.SignStamped(ctx, file, "") }

func (s command) SignStamped(ctx context.Context, file, server string) error {
	var words []string
	for i, text := range s.t.o.Sign.Command {
		word, err := matrix.SignFields{File: file, Timestamp: server}.Expand(text)
		if err != nil {
			return fmt.Errorf("sign.command[%d]: %w", i, err)
		}
		words = append(words, word)
	}
	_, err := s.t.run(ctx, call{program: s.t.program, args: words[1:]})
	return err
}

// Stamp is never asked of it: only the command itself knows how.
func (s command) Stamp(context.Context, string, string) error {
	return fmt.Errorf("the command %s has made no time stamp", strings.Join(s.t.o.Sign.Command, " "))
}

// stamps tells whether the command asks a time stamp server.
func (s command) stamps() bool {
	return strings.Contains(strings.Join(s.t.o.Sign.Command, " "), ".Timestamp")
}
