package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// gpuDocs are the documents that must have tables of GPUs, and the targets of
// the repository's matrix of which they are. Others may have some.
var gpuDocs = map[string][]string{
	"gpus.md":                {"linux-x86_64-cuda13", "linux-aarch64-cuda13", "linux-aarch64-cuda13-gb10", "linux-aarch64-cuda13-gh200", "windows-x86_64-cuda13"},
	"windows-build-guide.md": {"windows-x86_64-cuda13"},
}

// gpuTables are what stands between two marks, of which the first is the
// command that prints it.
var gpuTables = regexp.MustCompile("(?s)<!-- relmat (inspect --gpus --target (\\S+)) -->\n(.*?)<!-- end -->\n")

// TestGPUDocs keeps the tables of GPUs in the documents equal to what relmat
// says of the repository's matrix; -update writes them.
func TestGPUDocs(t *testing.T) {
	docs, err := filepath.Glob(filepath.Join("..", "..", "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for name := range gpuDocs {
		if path := filepath.Join("..", "..", "docs", name); !slices.Contains(docs, path) {
			t.Errorf("%s is not there", path)
		}
	}
	for _, path := range docs {
		name := filepath.Base(path)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var found []string
		text := gpuTables.ReplaceAllStringFunc(string(data), func(old string) string {
			m := gpuTables.FindStringSubmatch(old)
			found = append(found, m[2])
			table, _ := relmat(t, 0, append(strings.Fields(m[1]), "--config", rootMatrix)...)
			return "<!-- relmat " + m[1] + " -->\n\n" + table + "\n<!-- end -->\n"
		})
		if marks := strings.Count(text, "<!-- relmat inspect --gpus"); marks != len(found) {
			t.Errorf("%s: %d tables begin, %d have an end, the line <!-- end -->", name, marks, len(found))
		}
		for _, target := range gpuDocs[name] {
			if !slices.Contains(found, target) {
				t.Errorf("%s has no table of %s, between the lines <!-- relmat inspect --gpus --target %s --> and <!-- end -->", name, target, target)
			}
		}
		switch {
		case text == string(data):
		case *update:
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		default:
			t.Errorf("docs/%s is not what relmat says now; see the difference with -update and git diff", name)
		}
	}
}

// TestGPUsOfWindows holds that mlxcel's Windows package runs on the GPUs that
// people have, with machine code of their own compute capability ("CUDA GPU
// Compute Capability", NVIDIA).
func TestGPUsOfWindows(t *testing.T) {
	table, _ := relmat(t, 0, "inspect", "--gpus", "--target", "windows-x86_64-cuda13", "--config", rootMatrix)
	for gpu, want := range map[string][2]string{
		"A100": {"8.0", "sm_80"}, "RTX 30": {"8.6", "sm_86"}, "RTX 40": {"8.9", "sm_89"}, "L40": {"8.9", "sm_89"},
		"H100": {"9.0", "sm_90a"}, "RTX 50": {"12.0", "sm_120"},
	} {
		row := regexp.MustCompile(`(?m)^\| ` + regexp.QuoteMeta(want[0]) + ` \| (?:[^|]*, )?` + gpu + `(?:,[^|]*)? \| natively \| ` + want[1] + ` \| 580 or newer \|$`)
		if !row.MatchString(table) {
			t.Errorf("no row says that %s, %s, runs %s:\n%s", gpu, want[0], want[1], table)
		}
	}
}
