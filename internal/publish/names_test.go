package publish_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/publish"
)

// Names that cannot be are all told in one error, with the way to mend it.
func TestNamesAreToldTogether(t *testing.T) {
	file := func(name string) publish.File {
		return publish.File{Name: name, Path: "d/" + name, Size: 1, SHA256: sum(name)}
	}
	for name, c := range map[string]struct {
		w    publish.Wanted
		want []string
		not  string
	}{
		"bad ones": {publish.Wanted{Files: []publish.File{file("a b.zip"), file("good.zip"), file("~c.zip"), file("x.relmat-0123456789abcdef")}}, []string{
			`GitHub would change the asset names "a b.zip", "~c.zip"; use letters`, "x.relmat-0123456789abcdef is a name that relmat gives",
		}, "good.zip"},
		"one bad one": {publish.Wanted{Files: []publish.File{file("a b.zip")}, ChecksumFiles: true}, []string{
			`GitHub would change the asset name "a b.zip"; use`,
		}, "sha256"},
		"SHA256SUMS is there": {publish.Wanted{Files: []publish.File{file("a.zip"), file("SHA256SUMS")}, Checksums: true}, []string{
			"--checksums makes SHA256SUMS, and d/SHA256SUMS is among the files; leave it out, or drop the flag",
		}, "rename"},
		"a.zip.sha256 is there": {publish.Wanted{Files: []publish.File{file("a.zip"), file("a.zip.sha256")}, ChecksumFiles: true}, []string{
			"--checksum-files makes a.zip.sha256, and d/a.zip.sha256 is among the files; leave it out, or drop the flag",
		}, "rename"},
		"two, told once": {publish.Wanted{Files: []publish.File{file("a.zip"), {Name: "A.zip", Path: "e/A.zip", Size: 1}}, ChecksumFiles: true}, []string{
			"there are two files", "d/a.zip", "e/A.zip", "; rename one",
		}, "sha256"},
	} {
		g := &publish.GitHub{Repo: "o/r"}
		c.w.Tag = "v1"
		err := g.Preflight(t.Context(), c.w, quietTask())
		if !errors.Is(err, publish.ErrNames) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: it says %q, and not %q", name, err, want)
			}
		}
		if strings.Contains(err.Error(), c.not) {
			t.Errorf("%s: it speaks of %s: %q", name, c.not, err)
		}
	}
}
