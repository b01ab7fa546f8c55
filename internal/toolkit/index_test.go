package toolkit_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/relmat/relmat/internal/progress"
	"github.com/relmat/relmat/internal/toolkit"
)

// packageIndex is an index of packages ("Simple repository API", PyPA) that
// counts who asks for what, and that can fail.
type packageIndex struct {
	URL string

	mu     sync.Mutex
	wheels map[string]built
	asked  map[string]int
	// fault, if set, answers requests for wheels.
	fault http.HandlerFunc
}

func serve(tb testing.TB, wheels ...built) *packageIndex {
	tb.Helper()
	x := &packageIndex{wheels: map[string]built{}, asked: map[string]int{}}
	for _, w := range wheels {
		x.wheels[w.file] = w
	}
	s := httptest.NewServer(x)
	tb.Cleanup(s.Close)
	x.URL = s.URL
	return x
}

func (x *packageIndex) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x.mu.Lock()
	fault := x.fault
	x.asked[path.Base(r.URL.Path)]++
	x.mu.Unlock()
	if name, ok := strings.CutPrefix(r.URL.Path, "/simple/"); ok {
		w.Header().Set("Content-Type", "text/html")
		for file, b := range x.wheels {
			if b.name == strings.Trim(name, "/") {
				fmt.Fprintf(w, "<a href=\"/files/%s#sha256=%s\">%s</a>\n", strings.ReplaceAll(file, "+", "%2B"), b.sha256, file)
			}
		}
		return
	}
	b, ok := x.wheels[path.Base(r.URL.Path)]
	switch {
	case !ok:
		http.NotFound(w, r)
	case fault != nil:
		fault(w, r)
	default:
		w.Header().Set("Content-Type", "application/octet-stream")
		_, _ = w.Write(b.data)
	}
}

// fail has the index answer requests for wheels with handler; nil mends it.
func (x *packageIndex) fail(handler http.HandlerFunc) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.fault = handler
}

// hits tells how often the wheels were asked for, all if none is named.
func (x *packageIndex) hits(wheels ...built) int {
	x.mu.Lock()
	defer x.mu.Unlock()
	n := 0
	for file, count := range x.asked {
		for _, w := range wheels {
			if w.file == file {
				n += count
			}
		}
		if len(wheels) == 0 {
			n += count
		}
	}
	return n
}

// interpreter is the path of the Python whose pip the tests run, past any
// wrapper in PATH.
var interpreter = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("python3", "-c", "import pip, sys; print(sys.executable)").Output()
	if err != nil {
		return "", fmt.Errorf("these tests need python3 with pip in PATH: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
})

// pip is the real pip, which knows no index but x.
func (x *packageIndex) pip(tb testing.TB) toolkit.Pip {
	tb.Helper()
	python, err := interpreter()
	if err != nil {
		tb.Fatal(err)
	}
	return toolkit.Pip{Python: python, Env: []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"),
		"PIP_CONFIG_FILE=" + os.DevNull, "PIP_INDEX_URL=" + x.URL + "/simple/", "PIP_CACHE_DIR=" + tb.TempDir(),
		"PIP_RETRIES=0", "PIP_DEFAULT_TIMEOUT=60",
	}}
}

// fetcher fetches from x into a new cache.
func (x *packageIndex) fetcher(tb testing.TB) toolkit.Fetcher {
	tb.Helper()
	p := x.pip(tb)
	return toolkit.Fetcher{
		Cache: filepath.Join(tb.TempDir(), "cache"),
		Pip:   func(context.Context) (toolkit.Pip, error) { return p, nil },
	}
}

var errNoPip = errors.New("pip was asked for")

// offline is a Fetcher whose cache holds the wheels, as an interrupted fetch
// leaves them, and that has no pip to run.
func offline(tb testing.TB, wheels ...built) toolkit.Fetcher {
	tb.Helper()
	f := toolkit.Fetcher{
		Cache: filepath.Join(tb.TempDir(), "cache"),
		Pip: func(context.Context) (toolkit.Pip, error) {
			return toolkit.Pip{Python: filepath.Join(tb.TempDir(), "no-python")}, nil
		},
	}
	stock(tb, f, wheels...)
	return f
}

// stock puts wheels into the cache.
func stock(tb testing.TB, f toolkit.Fetcher, wheels ...built) {
	tb.Helper()
	for _, w := range wheels {
		write(tb, cached(f, w), string(w.data))
	}
}

// cached is where a downloaded wheel lies.
func cached(f toolkit.Fetcher, w built) string {
	return filepath.Join(f.Cache, "wheels", w.sha256[:16]+"-"+w.file)
}

func write(tb testing.TB, path, text string) {
	tb.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		tb.Fatal(err)
	}
}

// events keeps what a run has told.
type events struct {
	mu   sync.Mutex
	list []progress.Event
	// on, if set, is called with each event.
	on func(progress.Event)
}

func (e *events) Event(ev progress.Event) {
	e.mu.Lock()
	e.list = append(e.list, ev)
	e.mu.Unlock()
	if e.on != nil {
		e.on(ev)
	}
}

func (e *events) task() *progress.Task { return progress.New(e).Begin("", "toolkit", "") }

// texts are the events of a kind.
func (e *events) texts(kind progress.Kind) []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var texts []string
	for _, ev := range e.list {
		if ev.Kind == kind {
			texts = append(texts, ev.Text)
		}
	}
	return texts
}

// quiet is a task that nobody looks at.
func quiet() *progress.Task { return new(events).task() }
