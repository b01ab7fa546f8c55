package toolchain_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/proc"
	"github.com/relmat/relmat/internal/toolchain"
)

// share is a directory of this machine by the name of a server: Windows' own
// administrative share, or what Wine shows of its configuration.
func share(t *testing.T) string {
	t.Helper()
	config := strings.TrimPrefix(os.Getenv("WINECONFIGDIR"), `\??\`)
	if config == "" {
		dir := t.TempDir()
		return `\\localhost\` + strings.Replace(dir, ":", "$", 1)
	}
	real := filepath.Join(config, "dosdevices", "unc", "relmat-test")
	if err := os.MkdirAll(real, 0o755); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(real, "share")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(real) })
	return `\\relmat-test\` + filepath.Base(dir)
}

// TestMSVCOnServer has an installation that is reached by a UNC path.
func TestMSVCOnServer(t *testing.T) {
	dir := filepath.Join(share(t), "a & b", "vs")
	_, env := windowsHost(t, visual{dir: dir, version: "17.14"})
	m, err := find(t, winX64, winX64, env, "")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(m.Cl, `\\`) || m.Toolset != toolsetVersion {
		t.Errorf("found %+v", m)
	}
}

// TestNamesHaveNoCase has Path and PATH be one variable.
func TestNamesHaveNoCase(t *testing.T) {
	host := []string{"Path=one", "PATH=two", "systemroot=C:\\Windows", "github_token=s", "cc=cl.exe", "rustup_home=r", "Mine=1"}
	env := toolchain.FilterEnv(host, []string{"MINE"})
	if want := []string{"Mine=1", "PATH=two", "cc=cl.exe", "rustup_home=r", "systemroot=C:\\Windows"}; !slices.Equal(env, want) {
		t.Errorf("got %q, want %q", env, want)
	}
	r := row(t, "    env: {path: mine}")
	vars, err := toolchain.Variables(r, r.Fields("1", "v1"), toolchain.Toolkits{Host: `C:\cuda`, Target: `C:\cuda`}, `C:\t`)
	if err != nil {
		t.Fatal(err)
	}
	env = toolchain.BuildEnv(host, r, vars)
	paths := slices.DeleteFunc(slices.Clone(env), func(kv string) bool { return !strings.EqualFold(kv[:min(5, len(kv))], "path=") })
	if proc.Getenv(env, "PATH") != "mine" || len(paths) != 1 {
		t.Errorf("PATH stands as %q", paths)
	}
}
