//go:build soak

package publish_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/relmat/relmat/internal/publish"
)

// giteaDir holds Gitea 1.26.0 as the program gitea, beside the files that it
// reads. RELMAT_GITEA names one that is there already.
func giteaDir(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("RELMAT_GITEA"); dir != "" {
		return dir
	}
	dir := t.TempDir()
	run := func(in, name string, args ...string) []byte {
		cmd := exec.Command(name, args...)
		cmd.Dir = in
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v\n%s", cmd, err, out)
		}
		return out
	}
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module gitea\n\ngo 1.26\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(run(dir, "go", "mod", "download", "-json", "code.gitea.io/gitea@v1.26.0"), &module); err != nil {
		t.Fatal(err)
	}
	src := filepath.Join(dir, "src")
	run(dir, "cp", "-r", module.Dir, src)
	run(dir, "chmod", "-R", "u+w", src)
	run(src, "go", "build", "-tags", "sqlite sqlite_unlock_notify", "-o", "gitea", ".")
	return src
}

// startGitea runs Gitea with a repository o/r, and returns its address and a
// token.
func startGitea(t *testing.T) (address, token string) {
	t.Helper()
	src, work := giteaDir(t), t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	address = fmt.Sprintf("http://127.0.0.1:%d", port)
	ini := filepath.Join(work, "app.ini")
	text := fmt.Sprintf(`RUN_MODE = prod
WORK_PATH = %[1]s
[server]
HTTP_ADDR = 127.0.0.1
HTTP_PORT = %[2]d
ROOT_URL = %[3]s/
STATIC_ROOT_PATH = %[4]s
OFFLINE_MODE = true
[database]
DB_TYPE = sqlite3
PATH = %[1]s/gitea.db
[repository]
ROOT = %[1]s/repositories
[security]
INSTALL_LOCK = true
[log]
LEVEL = Error
`, work, port, address, src)
	if err := os.WriteFile(ini, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	command := func(args ...string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(src, "gitea"), append(args, "--config", ini)...)
		cmd.Dir = work
		cmd.Env = append(os.Environ(), "GITEA_I_AM_BEING_UNSAFE_RUNNING_AS_ROOT=true", "HOME="+work)
		return cmd
	}
	run := func(args ...string) string {
		out, err := command(args...).CombinedOutput()
		if err != nil {
			t.Fatalf("gitea %s: %v\n%s", args, err, out)
		}
		return string(out)
	}
	run("migrate")
	run("admin", "user", "create", "--admin", "--username", "o", "--password", "correct-horse", "--email", "o@example.org", "--must-change-password=false")
	lines := strings.Fields(run("admin", "user", "generate-access-token", "--username", "o", "--scopes", "all", "--raw"))
	token = lines[len(lines)-1]
	server := command("web")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
	body := []byte(`{"name":"r","auto_init":true,"default_branch":"main"}`)
	for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		req, err := http.NewRequest(http.MethodPost, address+"/api/v1/user/repos", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "token "+token)
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusCreated {
				return address, token
			}
		}
		if time.Now().After(end) {
			t.Fatalf("Gitea does not make a repository: %+v, %v", resp, err)
		}
	}
}

// asGitHub stands before a Gitea and gives what Gitea's answers lack: the state
// of assets, and an asset by its id alone.
func asGitHub(t *testing.T, address string) *httptest.Server {
	t.Helper()
	to, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	assets := map[string]map[string]any{}
	var mend func(v any)
	mend = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				mend(e)
			}
		case map[string]any:
			if v["browser_download_url"] != nil {
				v["state"] = "uploaded"
				assets[fmt.Sprint(v["id"])] = v
			}
			for _, e := range v {
				mend(e)
			}
		}
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) },
		ModifyResponse: func(resp *http.Response) error {
			if !strings.HasPrefix(resp.Request.URL.Path, "/api/") || !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") || resp.StatusCode >= 300 {
				return nil
			}
			var v any
			dec := json.NewDecoder(resp.Body)
			dec.UseNumber()
			if err := dec.Decode(&v); err != nil {
				return err
			}
			mu.Lock()
			mend(v)
			mu.Unlock()
			data, err := json.Marshal(v)
			if err != nil {
				return err
			}
			resp.Header.Set("Content-Length", fmt.Sprint(len(data)))
			resp.ContentLength, resp.Body = int64(len(data)), io.NopCloser(bytes.NewReader(data))
			return nil
		},
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, id, ok := strings.Cut(r.URL.Path, "/releases/assets/")
		if !ok || r.Method != http.MethodGet {
			proxy.ServeHTTP(w, r)
			return
		}
		mu.Lock()
		a := assets[id]
		mu.Unlock()
		if a == nil {
			http.NotFound(w, r)
		} else if r.Header.Get("Accept") == "application/octet-stream" {
			// Of a draft, Gitea gives the bytes to its owner's token by this path alone.
			r.URL.Path = "/attachments/" + fmt.Sprint(a["uuid"])
			proxy.ServeHTTP(w, r)
		} else {
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(a)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// TestGitea publishes to a server with real bytes and without digests: the
// draft, the uploads, the list, the publication, and a run that finds all of it
// by downloading. Gitea has no deletion and no renaming of an asset by its id
// alone, so that nothing is replaced.
func TestGitea(t *testing.T) {
	address, token := startGitea(t)
	dir := t.TempDir()
	var files []publish.File
	for _, n := range names {
		files = append(files, put(t, dir, n, strings.Repeat(n, 100_000)))
	}
	g := &publish.GitHub{
		Repo: "o/r", API: asGitHub(t, address).URL + "/api/v1/", Token: func(context.Context) (string, error) { return token, nil },
		Paces: []publish.Pace{}, RetryFor: time.Minute,
	}
	w := publish.Wanted{Tag: "v1", Commit: "main", ChecksumFiles: true}
	for _, step := range []struct {
		files int
		see   publish.Visibility
		want  publish.Outcome
	}{
		{2, publish.Draft, publish.Drafted},
		{2, publish.Draft, publish.Unchanged},
		{4, publish.Draft, publish.Drafted},
		{4, publish.Full, publish.Published},
		{4, publish.Full, publish.Unchanged},
	} {
		w.Files, w.Visibility = files[:step.files], step.see
		if res, err := g.Publish(t.Context(), w, quietTask()); err != nil || res.Outcome != step.want {
			t.Fatalf("%d files, %s: %+v, %v; want %s", step.files, step.see, res, err, step.want)
		}
	}
	down := t.TempDir()
	for _, f := range files {
		for _, n := range []string{f.Name, publish.ChecksumFile(f.Name)} {
			resp, err := http.Get(address + "/o/r/releases/download/v1/" + n)
			if err != nil {
				t.Fatal(err)
			}
			data, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Fatalf("%s: %s, %v", n, resp.Status, err)
			}
			if err := os.WriteFile(filepath.Join(down, n), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		checked(t, down, publish.ChecksumFile(f.Name), f.Name)
	}
}
