package toolkit_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/relmat/relmat/internal/progress"
	"github.com/relmat/relmat/internal/toolkit"
)

var requirements = []string{"cuda-toolkit[nvcc,cublas]==13.0.2"}

// TestLockAndFetch goes the whole way with the real pip: requirements, lock
// file, toolkit, and back again.
func TestLockAndFetch(t *testing.T) {
	t.Parallel()
	meta, cublas, nvcc := cudaWheels(t)
	newer := wheel{name: "nvidia-cublas", version: "13.2.0.1", tag: "py3-none-manylinux_2_27_x86_64"}.build(t)
	windows := wheel{name: "nvidia-cublas", version: "13.1.0.4", tag: "py3-none-win_amd64"}.build(t)
	index := serve(t, meta, cublas, nvcc, newer, windows)
	f := index.fetcher(t)

	lock, err := f.MakeLock(t.Context(), nil, requirements, []string{platform}, quiet())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "cuda.lock.json")
	if err := lock.Write(path); err != nil {
		t.Fatal(err)
	}
	if lock, err = toolkit.ReadLock(path); err != nil {
		t.Fatal(err)
	}
	want := []toolkit.Wheel{meta.pin(), cublas.pin(), nvcc.pin()}
	if !slices.Equal(lock.Platforms[platform], want) {
		t.Fatalf("the lock is\n%+v\nwant\n%+v", lock.Platforms[platform], want)
	}
	if !slices.Equal(lock.Requirements, requirements) {
		t.Errorf("the requirements are %q", lock.Requirements)
	}

	// The wheels that were downloaded for their sizes are not fetched again.
	asked := index.hits()
	log := new(events)
	tk, fetched, err := f.Ensure(t.Context(), "cuda13", lock, platform, log.task())
	if err != nil {
		t.Fatal(err)
	}
	if !fetched || index.hits() != asked {
		t.Errorf("fetched is %v, and the index was asked %d times more", fetched, index.hits()-asked)
	}
	same(t, tk.Dir, meta, cublas, nvcc)
	if left := names(t, filepath.Join(f.Cache, "wheels")); len(left) > 0 {
		t.Errorf("the wheels are still in the cache: %q", left)
	}
	if w := log.texts(progress.KindWarn); len(w) > 0 {
		t.Errorf("there are warnings: %q", w)
	}

	// What is there is taken as it is, without pip.
	f.Pip = func(context.Context) (toolkit.Pip, error) { return toolkit.Pip{}, errNoPip }
	again, fetched, err := f.Ensure(t.Context(), "cuda13", lock, platform, quiet())
	if err != nil || fetched || again.Dir != tk.Dir || index.hits() != asked {
		t.Errorf("the second time: %v, fetched is %v, asked %d times more", err, fetched, index.hits()-asked)
	}
}

// TestFetch downloads a locked toolkit.
func TestFetch(t *testing.T) {
	t.Parallel()
	meta, cublas, nvcc := cudaWheels(t)
	index := serve(t, meta, cublas, nvcc)
	f := index.fetcher(t)
	tk, fetched, err := f.Ensure(t.Context(), "cuda13", lockOf(platform, meta, cublas, nvcc), platform, quiet())
	if err != nil || !fetched {
		t.Fatal(fetched, err)
	}
	same(t, tk.Dir, meta, cublas, nvcc)
	for _, w := range []built{meta, cublas, nvcc} {
		if n := index.hits(w); n != 1 {
			t.Errorf("%s was asked for %d times", w.file, n)
		}
	}
	// Another toolkit of the same wheels has its own directory.
	stock(t, f, meta, cublas, nvcc)
	other, _, err := f.Ensure(t.Context(), "other", lockOf(platform, meta, cublas, nvcc), platform, quiet())
	if err != nil || other.Dir == tk.Dir {
		t.Errorf("%v, %v", other, err)
	}
	same(t, tk.Dir, meta, cublas, nvcc)
}

// TestProgress watches a download that stops halfway for a while: the bytes
// are told while pip writes them, only grow, and end with all of them.
func TestProgress(t *testing.T) {
	t.Parallel()
	_, cublas, _ := cudaWheels(t)
	large := big(t)
	index := serve(t, cublas, large)
	halfway := make(chan struct{})
	seen := sync.OnceFunc(func() { close(halfway) })
	total := int64(len(cublas.data) + len(large.data))
	index.fail(func(w http.ResponseWriter, r *http.Request) {
		data := index.wheels[filepath.Base(r.URL.Path)].data
		if filepath.Base(r.URL.Path) == large.file {
			_, _ = w.Write(data[:len(data)/2])
			w.(http.Flusher).Flush()
			select {
			case <-halfway:
			case <-time.After(patience):
				t.Error("no event tells of the wheel that is half there")
			}
			data = data[len(data)/2:]
		}
		_, _ = w.Write(data)
	})
	log := &events{on: func(e progress.Event) {
		if e.Done > int64(len(large.data))/4 && e.Done < total {
			seen()
		}
	}}
	f := index.fetcher(t)
	if _, _, err := f.Ensure(t.Context(), "cuda13", lockOf(platform, cublas, large), platform, log.task()); err != nil {
		t.Fatal(err)
	}
	var last progress.Event
	for _, e := range log.list {
		if e.Kind == progress.KindBytes {
			if e.Done < last.Done || e.Done > e.Total || e.Total != total {
				t.Errorf("%d of %d bytes after %d; there are %d", e.Done, e.Total, last.Done, total)
			}
			last = e
		}
	}
	if last.Done != total {
		t.Errorf("the last event is at %d of %d bytes", last.Done, total)
	}
}

// TestMakeLockKnowsOldWheels resolves for a platform again, with a lock file
// of two at hand: no wheel is downloaded for a size that is known.
func TestMakeLockKnowsOldWheels(t *testing.T) {
	t.Parallel()
	meta, cublas, nvcc := cudaWheels(t)
	index := serve(t, meta, cublas, nvcc)
	old := lockOf(platform, meta, cublas, nvcc)
	old.Requirements = requirements
	// As no real wheel is: what comes from the old lock can be told.
	for i := range old.Platforms[platform] {
		old.Platforms[platform][i].Unpacked += 1000
	}
	want := slices.Clone(old.Platforms[platform])
	old.Platforms["linux-aarch64"] = slices.Clone(want[:1])

	f := index.fetcher(t)
	lock, err := f.MakeLock(t.Context(), old, requirements, []string{platform}, quiet())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(lock.Platforms[platform], want) {
		t.Errorf("the lock is %+v", lock.Platforms[platform])
	}
	if !slices.Equal(lock.Platforms["linux-aarch64"], old.Platforms["linux-aarch64"]) {
		t.Error("the other platform is gone, though its requirements are the same")
	}
	if got := names(t, filepath.Join(f.Cache, "wheels")); len(got) > 0 {
		t.Errorf("wheels were downloaded: %q", got)
	}

	// Of other requirements nothing of the other platform can stay.
	lock, err = f.MakeLock(t.Context(), old, []string{"nvidia-cublas==13.1.0.3"}, []string{platform}, quiet())
	if err != nil {
		t.Fatal(err)
	}
	if len(lock.Platforms) != 1 || len(lock.Platforms[platform]) != 1 {
		t.Errorf("the lock is %+v", lock.Platforms)
	}
}

// TestMakeLockOfLocalVersion has a version with a plus, which a URL escapes.
func TestMakeLockOfLocalVersion(t *testing.T) {
	t.Parallel()
	w := wheel{name: "nvidia-local", version: "1.0+cu13", tag: "py3-none-any", files: []file{{path: "nvidia/cu13/lib/liblocal.so.1", text: "x"}}}.build(t)
	f := serve(t, w).fetcher(t)
	lock, err := f.MakeLock(t.Context(), nil, []string{"nvidia-local"}, []string{platform}, quiet())
	if err != nil {
		t.Fatal(err)
	}
	if want := []toolkit.Wheel{w.pin()}; !slices.Equal(lock.Platforms[platform], want) {
		t.Errorf("the lock is %+v, want %+v", lock.Platforms[platform], want)
	}
	tk, _, err := f.Ensure(t.Context(), "local", lock, platform, quiet())
	if err != nil {
		t.Fatal(err)
	}
	same(t, tk.Dir, w)
}

func TestMakeLockFails(t *testing.T) {
	t.Parallel()
	meta, cublas, nvcc := cudaWheels(t)
	index := serve(t, meta, cublas, nvcc)
	f := index.fetcher(t)
	for _, test := range []struct {
		name, platform, requirement string
		want                        []string
	}{
		{"a version that is not there", platform, "nvidia-cublas==99", []string{"resolving nvidia-cublas==99 for linux-x86_64", "No matching distribution"}},
		{"a platform that the wheels are not for", "linux-aarch64", "nvidia-cublas", []string{"for linux-aarch64", "No matching distribution"}},
		{"a platform without wheels", "freebsd-x86_64", "nvidia-cublas", []string{"there are no wheels for freebsd-x86_64"}},
		// A requirement never becomes an option of pip.
		{"an option", platform, "--version", []string{"Invalid requirement", "--version"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := f.MakeLock(t.Context(), nil, []string{test.requirement}, []string{test.platform}, quiet())
			for _, want := range test.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %q: %v", want, err)
				}
			}
		})
	}
}

func TestNoWheelsForPlatform(t *testing.T) {
	meta, _, _ := cudaWheels(t)
	f := offline(t)
	_, _, err := f.Ensure(t.Context(), "cuda13", lockOf("linux-aarch64", meta), platform, quiet())
	if err == nil || !strings.Contains(err.Error(), "relmat toolkit lock cuda13 --platform linux-x86_64") {
		t.Errorf("the error is %v", err)
	}
}

func TestFindPip(t *testing.T) {
	python, err := interpreter()
	if err != nil {
		t.Fatal(err)
	}
	p, err := toolkit.FindPip(t.Context(), python, os.Environ())
	if err != nil || p.Python != python {
		t.Errorf("got %q, %v", p.Python, err)
	}
	empty := []string{"PATH=" + t.TempDir()}
	_, err = toolkit.FindPip(t.Context(), "", empty)
	if err == nil || !strings.Contains(err.Error(), "install Python 3 with pip") {
		t.Errorf("the error is %v", err)
	}

	// The second name is tried where the first has no pip.
	dir := t.TempDir()
	for name, code := range map[string]string{"python3": "exit 1", "python": "exit 0"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+code+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if p, err := toolkit.FindPip(t.Context(), "", []string{"PATH=" + dir}); err != nil || p.Python != "python" {
		t.Errorf("got %q, %v", p.Python, err)
	}
	if _, err := toolkit.FindPip(t.Context(), "python3", []string{"PATH=" + dir}); err == nil {
		t.Error("an interpreter that was named and has no pip was replaced by another")
	}
}
