package cli

import (
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/publish"
)

// What a checkout was cloned from is the repository only where that is on the
// server that gets the release.
func TestOriginOn(t *testing.T) {
	for _, tt := range []struct {
		host, path, api string
		want            string // what the error says, empty for none
	}{
		{"github.com", "octo/demo", publish.GitHubAPI, ""},
		{"GitHub.com", "octo/demo", publish.GitHubAPI, ""},
		{"ssh.github.com", "octo/demo", publish.GitHubAPI, ""},
		{"gitlab.com", "octo/demo", publish.GitHubAPI, "the remote origin is octo/demo on gitlab.com, and releases go to github.com; use --repo OWNER/NAME, or"},
		{"git.example.org", "octo/demo", publish.GitHubAPI, "set GITHUB_API_URL to https://git.example.org/api/v3"},
		{"notgithub.com", "octo/demo", publish.GitHubAPI, "use --repo"},
		{"api.github.com", "octo/demo", publish.GitHubAPI, "use --repo"},
		{"git.example.org", "octo/demo", "https://git.example.org/api/v3", ""},
		{"git.example.org", "octo/demo", "https://git.example.org:8443/api/v3/", ""},
		{"github.com", "octo/demo", "https://git.example.org/api/v3", "releases go to git.example.org"},
		{"github.com", "octo/demo", "api.github.com", ""}, // no URL: not for this to judge
		{"octo.ghe.com", "octo/demo", "https://api.octo.ghe.com", ""},
		{"github.com", "octo/group/demo", publish.GitHubAPI, "the remote origin is octo/group/demo on github.com, and a repository there is OWNER/NAME; use --repo"},
		{"github.com", "demo", publish.GitHubAPI, "the remote origin is demo on github.com"},
	} {
		err := originOn(tt.host, tt.path, tt.api)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s on %s, for %s: %v, want %q", tt.path, tt.host, tt.api, err, tt.want)
		}
	}
}
