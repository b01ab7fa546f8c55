package smoke_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/smoke"
)

var model = bytes.Repeat([]byte("0123456789abcdef"), 64<<10) // 1 MiB

// answer is one answer of a server.
type answer func(w http.ResponseWriter)

func whole(w http.ResponseWriter) { _, _ = w.Write(model) }

func status(code int) answer { return func(w http.ResponseWriter) { w.WriteHeader(code) } }

// cut promises the whole model and ends the connection in the middle.
func cut(w http.ResponseWriter) {
	w.Header().Set("Content-Length", "1048576")
	_, _ = w.Write(model[:500_000])
	panic(http.ErrAbortHandler)
}

// cutChunked does so without having told the size.
func cutChunked(w http.ResponseWriter) {
	_, _ = w.Write(model[:500_000])
	w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

func wrong(w http.ResponseWriter) { _, _ = w.Write(append([]byte("x"), model[1:]...)) }

func short(w http.ResponseWriter) { _, _ = w.Write(model[:1000]) }

// server gives one answer after the other, and the last one for ever.
type server struct {
	*httptest.Server
	asked atomic.Int32
}

func serve(t *testing.T, answers ...answer) *server {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := int(s.asked.Add(1))
		answers[min(n, len(answers))-1](w)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *server) input() matrix.Input {
	sum := sha256.Sum256(model)
	return matrix.Input{URL: s.URL + "/files/model.bin", SHA256: hex.EncodeToString(sum[:])}
}

func fetch(ctx context.Context, t *testing.T, cache string, in matrix.Input) (string, error) {
	t.Helper()
	task, _ := newTask(t)
	return smoke.Inputs{Cache: cache, Pause: time.Millisecond}.Fetch(ctx, in, task)
}

// checkFile has sha256sum judge the file, and wants nothing beside it.
func checkFile(t *testing.T, path string, in matrix.Input) {
	t.Helper()
	cmd := exec.Command("sha256sum", "--check", "--status")
	cmd.Stdin = strings.NewReader(strings.ToLower(in.SHA256) + "  " + path + "\n")
	if err := cmd.Run(); err != nil {
		t.Errorf("sha256sum --check %s: %v", path, err)
	}
	if names := left(t, filepath.Dir(path)); len(names) != 1 {
		t.Errorf("beside the input lie %q", names)
	}
}

func TestFetch(t *testing.T) {
	tests := []struct {
		name    string
		answers []answer
		asked   int32
		want    string // of the error
	}{
		{"at once", []answer{whole}, 1, ""},
		{"server error", []answer{status(500), status(503), whole}, 3, ""},
		{"too many requests", []answer{status(429), whole}, 2, ""},
		{"cut connection", []answer{cut, whole}, 2, ""},
		{"cut connection of unknown length", []answer{cutChunked, cut, cutChunked, whole}, 4, ""},
		{"always an error", []answer{status(502)}, 4, "502 Bad Gateway"},
		{"always cut", []answer{cut}, 4, "unexpected EOF"},
		{"not found", []answer{status(404), whole}, 1, "404 Not Found"},
		{"forbidden", []answer{status(403), whole}, 1, "403 Forbidden"},
		{"no content", []answer{status(204), whole}, 1, "204 No Content"},
		{"other bytes", []answer{wrong, whole}, 1, "the matrix pins "},
		{"fewer bytes", []answer{short, whole}, 1, "the matrix pins "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, cache := serve(t, tt.answers...), t.TempDir()
			in := s.input()
			path, err := fetch(t.Context(), t, cache, in)
			if n := s.asked.Load(); n != tt.asked {
				t.Errorf("the server was asked %d times, want %d", n, tt.asked)
			}
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), in.URL) {
					t.Errorf("the error is %v, want %q and the address", err, tt.want)
				}
				if names, rerr := os.ReadDir(filepath.Join(cache, "inputs", in.SHA256)); rerr == nil && len(names) > 0 {
					t.Errorf("a failed fetch leaves %v", names)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if filepath.Base(path) != "model.bin" {
				t.Errorf("the input is called %s", path)
			}
			checkFile(t, path, in)
			if again, err := fetch(t.Context(), t, cache, in); err != nil || again != path || s.asked.Load() != tt.asked {
				t.Errorf("the second fetch: %s, %v, the server was asked %d times", again, err, s.asked.Load())
			}
		})
	}
}

func TestFetchNameAndDigestInCapitals(t *testing.T) {
	s := serve(t, whole)
	in := s.input()
	in.As, in.SHA256 = "weights.bin", strings.ToUpper(in.SHA256)
	path, err := fetch(t.Context(), t, t.TempDir(), in)
	if err != nil || filepath.Base(path) != "weights.bin" {
		t.Fatalf("the input is %s, %v", path, err)
	}
	checkFile(t, path, in)
}

// A cache in which something lies under the final name is judged by its bytes.
func TestFetchMendsCache(t *testing.T) {
	s, cache := serve(t, whole), t.TempDir()
	in := s.input()
	dir := filepath.Join(cache, "inputs", in.SHA256)
	write(t, filepath.Join(dir, "model.bin"), string(model[:99]), 0o644)
	write(t, filepath.Join(dir, ".model.bin.partial-123"), "of a run that was killed", 0o644)
	path, err := fetch(t.Context(), t, cache, in)
	if err != nil || s.asked.Load() != 1 {
		t.Fatalf("%s, %v, the server was asked %d times", path, err, s.asked.Load())
	}
	checkFile(t, path, in)
}

// TestFetchAtOnce lets several processes' worth of fetches meet: one asks the
// server, the others find what it brought.
func TestFetchAtOnce(t *testing.T) {
	first := make(chan struct{})
	s := serve(t, func(w http.ResponseWriter) { <-first; whole(w) })
	cache, in := t.TempDir(), s.input()
	var wg sync.WaitGroup
	paths, errs := make([]string, 3), make([]error, 3)
	for i := range paths {
		wg.Go(func() { paths[i], errs[i] = fetch(t.Context(), t, cache, in) })
	}
	for s.asked.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(50 * time.Millisecond) // the others come to the lock
	close(first)
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if paths[0] != paths[1] || paths[1] != paths[2] || s.asked.Load() != 1 {
		t.Errorf("the paths are %q, the server was asked %d times", paths, s.asked.Load())
	}
	checkFile(t, paths[0], in)
}

func TestFetchCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := serve(t, func(w http.ResponseWriter) {
		_, _ = w.Write(model[:1000])
		w.(http.Flusher).Flush()
		cancel()
		<-ctx.Done()
		panic(http.ErrAbortHandler)
	})
	cache, in := t.TempDir(), s.input()
	if _, err := fetch(ctx, t, cache, in); !errors.Is(err, context.Canceled) || s.asked.Load() != 1 {
		t.Errorf("the error is %v, the server was asked %d times", err, s.asked.Load())
	}
	if names, err := os.ReadDir(filepath.Join(cache, "inputs", in.SHA256)); err == nil && len(names) > 0 {
		t.Errorf("a cancelled fetch leaves %v", names)
	}
}

func TestFetchIntoWhatIsNoDirectory(t *testing.T) {
	s := serve(t, whole)
	cache := filepath.Join(t.TempDir(), "cache")
	write(t, filepath.Join(cache, "inputs"), "a file", 0o644)
	if _, err := fetch(t.Context(), t, cache, s.input()); err == nil || !strings.Contains(err.Error(), "not a directory") {
		t.Errorf("the error is %v", err)
	}
	if n := s.asked.Load(); n > 1 {
		t.Errorf("the server was asked %d times for what cannot be written", n)
	}
}

// Nobody listens there: it is tried again, then told with the address.
func TestFetchWithoutServer(t *testing.T) {
	s := serve(t, whole)
	in := s.input()
	s.Close()
	task, events := newTask(t)
	_, err := smoke.Inputs{Cache: t.TempDir(), Pause: time.Millisecond}.Fetch(t.Context(), in, task)
	if err == nil || !strings.Contains(err.Error(), in.URL) {
		t.Errorf("the error is %v", err)
	}
	if n := strings.Count(events.text("note"), "trying again"); n != 3 {
		t.Errorf("it was tried again %d times, want 3", n)
	}
}
