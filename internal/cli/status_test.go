package cli

import (
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/relmat/relmat/internal/pipeline"
	"github.com/relmat/relmat/internal/publish"
)

const shaOfTag = "0123456789abcdef0123456789abcdef01234567"

// statuses are releases as relmat status shows them.
var statuses = map[string]*pipeline.ReleaseStatus{
	"none": {
		Repo: "octo/tool", Tag: "v1.0.0", Targets: []pipeline.TargetStatus{
			{Target: "linux", State: pipeline.Missing, Problems: []string{"its part is missing: relmat release --target linux --part --repo octo/tool"}},
		}, Files: []pipeline.FileStatus{{Name: "release.json", State: pipeline.Missing}, {Name: "SHA256SUMS", State: pipeline.Missing}},
		Problems: []string{"octo/tool has no release v1.0.0"},
	},
	"draft": {
		Repo: "octo/a-repository-with-a-name", Tag: "v0.0.0-something-1", ID: 123456789, Visibility: publish.Draft, Commit: shaOfTag,
		URL: "https://github.com/octo/a-repository-with-a-name/releases/tag/untagged-0c9f387277ed14cbb21d",
		Targets: []pipeline.TargetStatus{
			{Target: "linux-x86_64-cuda13", State: pipeline.Complete, Part: "relmat-part-linux-x86_64-cuda13.json", Row: pipeline.Complete, Commit: shaOfTag, Passed: 12, NotRun: 1, Assets: []pipeline.AssetStatus{
				{Name: "a-program-with-a-long-name-0.0.0-something-1-linux-x86_64-cuda13.tar.gz", Size: 1_987_654_321, State: pipeline.Complete},
				{Name: "server-0.0.0.zip", Size: 1, State: pipeline.Complete},
			}, Notes: []string{"linux-x86_64-cuda13, package p: step gpu was not run: no GPU"}},
			{Target: "windows-x86_64-cuda13", State: pipeline.Broken, Part: "release.json", Row: pipeline.Stale, Commit: strings.Repeat("f", 40), Passed: 10, NotRun: 1, Failed: 1, Assets: []pipeline.AssetStatus{
				{Name: "a.zip", Size: 5_000_000, State: pipeline.Broken}, {Name: "b.zip", State: pipeline.Missing},
			}, Problems: []string{"its part is of another row of the matrix (digest 0123, now 4567): make it again"}},
			{Target: "a-target-with-a-name-that-nobody-in-his-senses-gives", State: pipeline.OnRequest},
		},
		Files:    []pipeline.FileStatus{{Name: "release.json", State: pipeline.Unknown}, {Name: "SHA256SUMS", State: pipeline.Broken}},
		Foreign:  []string{"notes.txt"},
		Leftover: []string{"a.zip.relmat-0123456789abcdef"},
	},
	"skipped": {
		Repo: "octo/tool", Tag: "v1.0.0", ID: 1, Visibility: publish.Draft, Commit: shaOfTag, URL: "https://github.com/octo/tool/releases/tag/v1.0.0",
		Targets:  []pipeline.TargetStatus{{Target: "linux", State: pipeline.Complete, Part: "relmat-part-linux.json", Row: pipeline.Complete, Commit: strings.Repeat("f", 40), Passed: 1}},
		Files:    []pipeline.FileStatus{{Name: "release.json", State: pipeline.Missing}, {Name: "SHA256SUMS", State: pipeline.Missing}},
		Complete: true, SkipCommitCheck: true,
	},
	"promoted": {
		Repo: "octo/tool", Tag: "v1.0.0", ID: 1, Visibility: publish.Full, Immutable: true, Commit: shaOfTag, URL: "https://github.com/octo/tool/releases/tag/v1.0.0",
		Targets: []pipeline.TargetStatus{{Target: "linux", State: pipeline.Complete, Part: "release.json", Row: pipeline.Complete, Commit: shaOfTag, Passed: 1, Assets: []pipeline.AssetStatus{
			{Name: "tool.zip", Size: 2000, State: pipeline.Complete},
		}}},
		Files:    []pipeline.FileStatus{{Name: "release.json", State: pipeline.Complete}, {Name: "SHA256SUMS", State: pipeline.Complete}},
		Complete: true, Promoted: true,
	},
}

func TestStatusTable(t *testing.T) {
	for name, st := range statuses {
		var b strings.Builder
		showStatus(&b, st)
		golden(t, filepath.Join("status", name+".txt"), b.String())
		_, table, _ := strings.Cut(b.String(), "\nTARGET")
		table, _, _ = strings.Cut(table, "release.json")
		for _, line := range strings.Split(table, "\n") {
			if strings.Contains(line, "nobody-in-his-senses") {
				continue // wider than a terminal by its own name
			}
			if utf8.RuneCountInString(line) > statusWidth {
				t.Errorf("%s: the line has more than %d columns:\n%s", name, statusWidth, line)
			}
		}
	}
}
