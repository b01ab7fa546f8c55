package toolkit_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/relmat/relmat/internal/fsx"
	"github.com/relmat/relmat/internal/progress"
	"github.com/relmat/relmat/internal/toolkit"
)

// patience bounds how long a test waits for what must happen.
const patience = 2 * time.Minute

// childJob is what a child process of a test fetches; it stands in the
// environment variable childEnv.
type childJob struct {
	Cache string
	Pip   toolkit.Pip
	Lock  toolkit.Lock
}

const childEnv = "RELMAT_TEST_FETCH"

func TestMain(m *testing.M) {
	if text := os.Getenv(childEnv); text != "" {
		os.Exit(child(text))
	}
	os.Exit(m.Run())
}

// child fetches a toolkit and tells on stdout what it sees.
func child(text string) int {
	var job childJob
	if err := json.Unmarshal([]byte(text), &job); err != nil {
		fmt.Println("error:", err)
		return 2
	}
	f := toolkit.Fetcher{Cache: job.Cache, Pip: func(context.Context) (toolkit.Pip, error) { return job.Pip, nil }}
	log := &events{on: func(e progress.Event) {
		if e.Kind == progress.KindNote {
			fmt.Println("note:", e.Text)
		}
	}}
	_, fetched, err := f.Ensure(context.Background(), "cuda13", &job.Lock, platform, log.task())
	if err != nil {
		fmt.Println("error:", err)
		return 1
	}
	fmt.Println("fetched:", fetched)
	return 0
}

// process is a child at work.
type process struct {
	*exec.Cmd
	lines chan string
}

func start(t *testing.T, job childJob) process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(job)
	if err != nil {
		t.Fatal(err)
	}
	p := process{exec.Command(self), make(chan string, 100)}
	p.Env = append(os.Environ(), childEnv+"="+string(text))
	p.Stderr = os.Stderr
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Process.Kill() })
	go func() {
		defer close(p.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			p.lines <- s.Text()
		}
	}()
	return p
}

// await reads lines until one begins with prefix.
func (p process) await(t *testing.T, prefix string) string {
	t.Helper()
	timeout := time.After(patience)
	var seen []string
	for {
		select {
		case line, ok := <-p.lines:
			if strings.HasPrefix(line, prefix) {
				return line
			}
			if !ok {
				t.Fatalf("the process has ended without a line %q: %q", prefix, seen)
			}
			seen = append(seen, line)
		case <-timeout:
			t.Fatalf("there is no line %q; there are %q", prefix, seen)
		}
	}
}

// TestTwoProcesses has two processes fetch the same toolkit: the second waits
// for the first, and all is downloaded once.
func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	meta, cublas, nvcc := cudaWheels(t)
	index := serve(t, meta, cublas, nvcc)
	// No wheel comes before the second process stands at the lock.
	asked, release := make(chan struct{}, 10), make(chan struct{})
	index.fail(func(w http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		select {
		case <-release:
			_, _ = w.Write(index.wheels[filepath.Base(r.URL.Path)].data)
		case <-r.Context().Done():
		}
	})
	job := childJob{Cache: filepath.Join(t.TempDir(), "cache"), Pip: index.pip(t), Lock: *lockOf(platform, meta, cublas, nvcc)}
	first := start(t, job)
	select {
	case <-asked:
	case <-time.After(patience):
		t.Fatal("the first process asks for nothing")
	}
	second := start(t, job)
	second.await(t, "note: another relmat is fetching this toolkit; waiting for it")
	close(release)
	if line := first.await(t, "fetched:"); line != "fetched: true" {
		t.Errorf("the first says %q", line)
	}
	if line := second.await(t, "fetched:"); line != "fetched: false" {
		t.Errorf("the second says %q", line)
	}
	for _, p := range []process{first, second} {
		if err := p.Wait(); err != nil {
			t.Error(err)
		}
	}
	for _, w := range []built{meta, cublas, nvcc} {
		if n := index.hits(w); n != 1 {
			t.Errorf("%s was asked for %d times", w.file, n)
		}
	}
	kits := names(t, filepath.Join(job.Cache, "toolkits"))
	if len(kits) != 1 {
		t.Fatalf("the toolkits are %q", kits)
	}
	same(t, filepath.Join(job.Cache, "toolkits", kits[0]), meta, cublas, nvcc)
}

// TestKilledProcess kills a process in the middle of a download. The next run
// removes what it left and does its work.
func TestKilledProcess(t *testing.T) {
	t.Parallel()
	_, cublas, _ := cudaWheels(t)
	index := serve(t, cublas)
	asked, gone := make(chan struct{}), make(chan struct{})
	index.fail(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(cublas.data[:100])
		w.(http.Flusher).Flush()
		close(asked)
		<-r.Context().Done()
		close(gone)
	})
	lock := lockOf(platform, cublas)
	f := index.fetcher(t)
	p := start(t, childJob{Cache: f.Cache, Pip: index.pip(t), Lock: *lock})
	select {
	case <-asked:
	case <-time.After(patience):
		t.Fatal("the process asks for nothing")
	}
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.Wait()
	// Its pip must not go on writing into what the next run removes.
	select {
	case <-gone:
	case <-time.After(patience):
		t.Fatal("pip is still there after its relmat was killed")
	}
	if left := names(t, filepath.Join(f.Cache, "wheels")); len(left) != 1 || !fsx.IsPartial(left[0]) {
		t.Fatalf("the killed process has left %q: this test proves nothing", left)
	}
	index.fail(nil)
	tk, fetched, err := f.Ensure(t.Context(), "cuda13", lock, platform, quiet())
	if err != nil || !fetched {
		t.Fatal(fetched, err)
	}
	same(t, tk.Dir, cublas)
	if left := names(t, filepath.Join(f.Cache, "wheels")); len(left) > 0 {
		t.Errorf("there is still %q", left)
	}
}

// TestPartialToolkits has the remains of a layout that was killed, and another
// toolkit's that may be at work.
func TestPartialToolkits(t *testing.T) {
	_, cublas, nvcc := cudaWheels(t)
	f := offline(t, cublas)
	lock := lockOf(platform, cublas)
	kits := filepath.Join(f.Cache, "toolkits")
	own := fmt.Sprintf("cuda13-%s-%s", platform, toolkit.Digest(lock.Platforms[platform])[:16])
	foreign := fmt.Sprintf("cuda13-%s-%s", platform, toolkit.Digest(lockOf(platform, nvcc).Platforms[platform])[:16])
	var partials []string
	for _, name := range []string{own, own, foreign, own + "0"} {
		dir, err := fsx.PartialDir(kits, name)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "nvidia", "file"), "half")
		partials = append(partials, dir)
	}
	if _, _, err := f.Ensure(t.Context(), "cuda13", lock, platform, quiet()); err != nil {
		t.Fatal(err)
	}
	for i, dir := range partials {
		_, err := os.Stat(dir)
		if mine := i < 2; mine != os.IsNotExist(err) {
			t.Errorf("%s: %v", filepath.Base(dir), err)
		}
	}
}

// TestToolkitsThatShareWheels makes two toolkits of the same wheels at once.
// The one that is done first must not take the wheels away from the other.
func TestToolkitsThatShareWheels(t *testing.T) {
	t.Parallel()
	meta, cublas, nvcc := cudaWheels(t)
	index := serve(t, meta, cublas, nvcc)
	f := index.fetcher(t)
	lock := lockOf(platform, meta, cublas, nvcc)
	stock(t, f, meta, cublas, nvcc)

	layingOut, done := make(chan struct{}), make(chan struct{})
	var once sync.Once
	slow := &events{on: func(e progress.Event) {
		if strings.HasPrefix(e.Text, "laying out ") {
			once.Do(func() { close(layingOut) })
			// The other run gets the time to finish, if it does not wait.
			select {
			case <-done:
			case <-time.After(500 * time.Millisecond):
			}
		}
	}}
	kits := make([]*toolkit.Toolkit, 2)
	errs := make([]error, 2)
	var wg sync.WaitGroup
	wg.Go(func() {
		defer once.Do(func() { close(layingOut) })
		kits[0], _, errs[0] = f.Ensure(t.Context(), "one", lock, platform, slow.task())
	})
	wg.Go(func() {
		defer close(done)
		<-layingOut
		kits[1], _, errs[1] = f.Ensure(t.Context(), "two", lock, platform, quiet())
	})
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
		same(t, kits[i].Dir, meta, cublas, nvcc)
	}
}

// TestWaitingCanBeCancelled has a run wait for a lock that another one holds.
func TestWaitingCanBeCancelled(t *testing.T) {
	_, cublas, _ := cudaWheels(t)
	f := offline(t, cublas)
	unlock, err := fsx.Lock(t.Context(), filepath.Join(f.Cache, "locks", "wheels.lock"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	log := &events{on: func(e progress.Event) {
		if strings.HasPrefix(e.Text, "another relmat is at work with wheels") {
			cancel()
		}
	}}
	_, _, err = f.Ensure(ctx, "cuda13", lockOf(platform, cublas), platform, log.task())
	if err == nil || ctx.Err() == nil {
		t.Errorf("the error is %v", err)
	}
	if left := names(t, filepath.Join(f.Cache, "toolkits")); len(left) > 0 {
		t.Errorf("there is %q", left)
	}
}
