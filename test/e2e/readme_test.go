package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestReadme takes the matrix of the README's five-minute path as it stands
// there, and releases a program of its kind with it.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)\n   ```yaml\n(.*?)\n   ```\n").FindSubmatch(readme)
	if m == nil {
		t.Fatal("README.md has no block of yaml")
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"targets.yaml": regexp.MustCompile(`(?m)^   `).ReplaceAllString(string(m[1]), "") + "\n",
		"Cargo.toml":   "[package]\nname = \"hello\"\nversion = \"1.2.3\"\nedition = \"2021\"\n",
		"Cargo.lock":   "version = 3\n\n[[package]]\nname = \"hello\"\nversion = \"1.2.3\"\n",
		"LICENSE":      "MIT License\n",
		"src/main.rs":  "fn main() { println!(\"hello {}\", env!(\"CARGO_PKG_VERSION\")); }\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	git := func(args ...string) {
		t.Helper()
		tool(t, "git", append([]string{"-C", dir, "-c", "user.name=t", "-c", "user.email=t@example.org"}, args...)...)
	}
	git("init", "--quiet")
	git("add", "--all")
	git("commit", "--quiet", "--message", "Hello")
	git("tag", "v1.2.3")

	cmd := exec.CommandContext(t.Context(), relmatBin, "release", "--to", "out of here")
	cmd.Dir = dir
	if got := must(t, cmd); !strings.HasPrefix(got, "published: hello ") {
		t.Errorf("it says %q", got)
	}
	tool(t, "unzip", "-tqq", filepath.Join(dir, "out of here", "v1.2.3", "hello-1.2.3-linux-x86_64.zip"))
}
