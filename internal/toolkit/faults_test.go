package toolkit_test

import (
	"context"
	"encoding/base64"
	"errors"
	"io/fs"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/relmat/relmat/internal/progress"
	"github.com/relmat/relmat/internal/toolkit"
)

// nothingFinal wants that a failed fetch left nothing that could be taken for
// a finished wheel or toolkit, nor anything half done.
func nothingFinal(t *testing.T, f toolkit.Fetcher) {
	t.Helper()
	for _, dir := range []string{"toolkits", "wheels"} {
		if left := names(t, filepath.Join(f.Cache, dir)); len(left) > 0 {
			t.Errorf("%s holds %q", dir, left)
		}
	}
}

// TestDownloadFails has the index fail in every way that a network does. The
// next run, with the index mended, must make the toolkit.
func TestDownloadFails(t *testing.T) {
	t.Parallel()
	cublas := big(t)
	half := cublas.data[:len(cublas.data)/2]
	changed := append([]byte(nil), cublas.data...)
	changed[len(changed)/2] ^= 1
	for _, test := range []struct {
		name  string
		fault http.HandlerFunc
		want  string
	}{
		{"corrupted", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(changed) }, "DO NOT MATCH THE HASHES"},
		{"short", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(half) }, "DO NOT MATCH THE HASHES"},
		{"nothing", func(http.ResponseWriter, *http.Request) {}, "DO NOT MATCH THE HASHES"},
		{"cut in the middle", cut(t, cublas.data, len(half)), "downloading " + cublas.file},
		{"cut at once", cut(t, cublas.data, 0), "downloading " + cublas.file},
		{"refused", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusForbidden) }, "403"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			index := serve(t, cublas)
			f := index.fetcher(t)
			lock := lockOf(platform, cublas)
			index.fail(test.fault)
			tk, _, err := f.Ensure(t.Context(), "cuda13", lock, platform, quiet())
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), cublas.file) {
				t.Fatalf("got %v and the error %v, want %q", tk, err, test.want)
			}
			nothingFinal(t, f)
			index.fail(nil)
			tk, fetched, err := f.Ensure(t.Context(), "cuda13", lock, platform, quiet())
			if err != nil || !fetched {
				t.Fatal(fetched, err)
			}
			same(t, tk.Dir, cublas)
		})
	}
}

// big is a wheel of more than one network packet.
func big(tb testing.TB) built {
	tb.Helper()
	// Text that deflate cannot shorten much.
	noise := make([]byte, 300_000)
	for i, state := 0, uint32(1); i < len(noise); i++ {
		state = state*1664525 + 1013904223
		noise[i] = byte(state >> 24)
	}
	return wheel{
		name: "nvidia-big", version: "1.0", tag: "py3-none-any",
		files: []file{{path: "nvidia/cu13/lib/libbig.so.1", text: string(noise)}},
	}.build(tb)
}

// cut sends n bytes of data, promises all, and ends the connection.
func cut(t *testing.T, data []byte, n int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, out, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = out.WriteString("HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 99999999\r\n\r\n")
		_, _ = out.Write(data[:n])
		_ = out.Flush()
	}
}

// TestWheelOfAnotherSize pins a size that the wheel does not have.
func TestWheelOfAnotherSize(t *testing.T) {
	t.Parallel()
	_, cublas, _ := cudaWheels(t)
	f := serve(t, cublas).fetcher(t)
	lock := lockOf(platform, cublas)
	lock.Platforms[platform][0].Size++
	_, _, err := f.Ensure(t.Context(), "cuda13", lock, platform, quiet())
	if err == nil || !strings.Contains(err.Error(), "pinned is "+cublas.sha256) {
		t.Errorf("the error is %v", err)
	}
	nothingFinal(t, f)
}

// TestCachedWheelIsDamaged has the cache hold a wheel that an earlier run
// brought and that has changed since.
func TestCachedWheelIsDamaged(t *testing.T) {
	t.Parallel()
	_, cublas, _ := cudaWheels(t)
	index := serve(t, cublas)
	f := index.fetcher(t)
	write(t, cached(f, cublas), string(cublas.data[:100]))
	tk, _, err := f.Ensure(t.Context(), "cuda13", lockOf(platform, cublas), platform, quiet())
	if err != nil {
		t.Fatal(err)
	}
	if index.hits(cublas) != 1 {
		t.Errorf("the wheel was asked for %d times", index.hits(cublas))
	}
	same(t, tk.Dir, cublas)
}

// TestCancel ends a run in the middle of a download.
func TestCancel(t *testing.T) {
	t.Parallel()
	_, cublas, _ := cudaWheels(t)
	index := serve(t, cublas)
	f := index.fetcher(t)
	ctx, cancel := context.WithCancel(t.Context())
	index.fail(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(cublas.data[:10])
		w.(http.Flusher).Flush()
		cancel()
		<-r.Context().Done() // until pip is gone
	})
	start := time.Now()
	_, _, err := f.Ensure(ctx, "cuda13", lockOf(platform, cublas), platform, quiet())
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	if d := time.Since(start); d > 30*time.Second {
		t.Errorf("it took %s to end", d)
	}
	nothingFinal(t, f)
}

// TestDamagedToolkit takes things away from a toolkit, as cleaners of caches
// do, and wants it to be made again.
func TestDamagedToolkit(t *testing.T) {
	t.Parallel()
	meta, cublas, nvcc := cudaWheels(t)
	const lib = "nvidia/cu13/lib/libcublas.so.13"
	for _, test := range []struct {
		name   string
		damage func(dir string) error
		// warned tells that the run must say why it does it again.
		warned string
	}{
		{"file removed", func(dir string) error { return os.Remove(filepath.Join(dir, lib)) }, lib + " is missing"},
		{"file truncated", func(dir string) error { return os.Truncate(filepath.Join(dir, lib), 10) }, lib + " is missing or has another size"},
		{"file grown", func(dir string) error { return os.Truncate(filepath.Join(dir, lib), 1<<20) }, lib + " is missing or has another size"},
		{"directory removed", func(dir string) error { return os.RemoveAll(filepath.Join(dir, "nvidia", "cu13", "bin")) }, "nvidia/cu13/bin/nvcc"},
		{"index truncated", func(dir string) error { return os.Truncate(filepath.Join(dir, "toolkit.json"), 20) }, "toolkit.json is damaged"},
		{"index of another layout", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "toolkit.json"), []byte(`{"layout": 99}`), 0o644)
		}, "toolkit.json is damaged"},
		{"index removed", func(dir string) error { return os.Remove(filepath.Join(dir, "toolkit.json")) }, ""},
		{"all removed", os.RemoveAll, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := offline(t, meta, cublas, nvcc)
			lock := lockOf(platform, meta, cublas, nvcc)
			tk, _, err := f.Ensure(t.Context(), "cuda13", lock, platform, quiet())
			if err != nil {
				t.Fatal(err)
			}
			if err := test.damage(tk.Dir); err != nil {
				t.Fatal(err)
			}
			stock(t, f, meta, cublas, nvcc)
			log := new(events)
			again, fetched, err := f.Ensure(t.Context(), "cuda13", lock, platform, log.task())
			if err != nil || !fetched || again.Dir != tk.Dir {
				t.Fatal(again, fetched, err)
			}
			same(t, tk.Dir, meta, cublas, nvcc)
			warnings := strings.Join(log.texts(progress.KindWarn), "\n")
			if (test.warned == "") != (warnings == "") || !strings.Contains(warnings, test.warned) {
				t.Errorf("the warnings are %q, want %q", warnings, test.warned)
			}
		})
	}
}

// TestForce does it again though all is there, and keeps the old toolkit if
// that fails.
func TestForce(t *testing.T) {
	_, cublas, nvcc := cudaWheels(t)
	f := offline(t, cublas, nvcc)
	lock := lockOf(platform, cublas, nvcc)
	tk, _, err := f.Ensure(t.Context(), "cuda13", lock, platform, quiet())
	if err != nil {
		t.Fatal(err)
	}
	// Of the same size: only Force finds it.
	lib := filepath.Join(tk.Home(), "lib", "libcublasLt.so.13")
	write(t, lib, "CUBLASlT")
	f.Force = true
	if _, _, err := f.Ensure(t.Context(), "cuda13", lock, platform, quiet()); err == nil {
		t.Fatal("there was nothing to make it of")
	}
	f.Force = false
	if _, fetched, err := f.Ensure(t.Context(), "cuda13", lock, platform, quiet()); fetched || err != nil {
		t.Errorf("the old toolkit is gone: %v", err)
	}
	stock(t, f, cublas, nvcc)
	f.Force = true
	log := new(events)
	if _, fetched, err := f.Ensure(t.Context(), "cuda13", lock, platform, log.task()); !fetched || err != nil {
		t.Fatal(fetched, err)
	}
	same(t, tk.Dir, cublas, nvcc)
	if w := log.texts(progress.KindWarn); len(w) > 0 {
		t.Errorf("it warns of a toolkit that is in order: %q", w)
	}
	if left := names(t, filepath.Dir(tk.Dir)); len(left) != 1 {
		t.Errorf("the toolkits are %q", left)
	}
}

// TestTooLittleDisk wants to be told before a single byte is fetched.
func TestTooLittleDisk(t *testing.T) {
	_, cublas, nvcc := cudaWheels(t)
	index := serve(t, cublas, nvcc)
	for name, sizes := range map[string][2]int64{
		"unpacked":     {0, 1 << 50},
		"wheels":       {1 << 50, 0},
		"both as sums": {1 << 40, 1 << 40},
	} {
		t.Run(name, func(t *testing.T) {
			f := index.fetcher(t)
			f.Pip = func(context.Context) (toolkit.Pip, error) { return toolkit.Pip{}, errNoPip }
			lock := lockOf(platform, cublas, nvcc)
			for i := range lock.Platforms[platform] {
				lock.Platforms[platform][i].Size, lock.Platforms[platform][i].Unpacked = sizes[0]+1, sizes[1]
			}
			if name == "both as sums" {
				for range 1000 {
					lock.Platforms[platform] = append(lock.Platforms[platform], lock.Platforms[platform][0])
				}
			}
			_, _, err := f.Ensure(t.Context(), "cuda13", lock, platform, quiet())
			if err == nil || !strings.Contains(err.Error(), "too little disk space in "+f.Cache) || !strings.Contains(err.Error(), "--cache or RELMAT_CACHE") {
				t.Errorf("the error is %v", err)
			}
			if index.hits() != 0 {
				t.Errorf("the index was asked %d times", index.hits())
			}
			nothingFinal(t, f)
		})
	}
	// What no wheel can have never comes to be added up.
	huge := cublas.pin()
	huge.Unpacked = math.MaxInt64
	path := filepath.Join(t.TempDir(), "cuda.lock.json")
	lock := toolkit.Lock{Schema: toolkit.LockSchema, Platforms: map[string][]toolkit.Wheel{platform: {huge, huge}}}
	if err := lock.Write(path); err != nil {
		t.Fatal(err)
	}
	if l, err := toolkit.ReadLock(path); err == nil {
		t.Errorf("a lock file with %d bytes a wheel was taken: %+v", huge.Unpacked, l)
	}
}

// TestHostileWheel has a wheel, with the right digest, that wants to write
// elsewhere.
func TestHostileWheel(t *testing.T) {
	for name, entry := range map[string]file{
		"parent":            {path: "../../evil", text: "x"},
		"parent inside":     {path: "nvidia/../../../evil", text: "x"},
		"absolute":          {path: "/tmp/relmat-evil", text: "x"},
		"backslash":         {path: `..\..\evil`, text: "x"},
		"drive":             {path: "C:/evil", text: "x"},
		"link to outside":   {path: "nvidia/evil", text: "../../../evil", mode: fs.ModeSymlink | 0o777},
		"link to the root":  {path: "nvidia/evil", text: "/etc", mode: fs.ModeSymlink | 0o777},
		"same file twice":   {path: "nvidia/cu13/lib/liba.so.1", text: "y"},
		"device":            {path: "nvidia/evil", mode: fs.ModeDevice | 0o666},
		"index of a cached": {path: "toolkit.json/evil", text: "x"},
	} {
		t.Run(name, func(t *testing.T) {
			w := wheel{
				name: "nvidia-evil", version: "1", tag: "py3-none-any",
				files:   []file{{path: "nvidia/cu13/lib/liba.so.1", text: "a"}},
				hostile: []file{entry},
			}.build(t)
			f := offline(t, w)
			tk, _, err := f.Ensure(t.Context(), "cuda13", lockOf(platform, w), platform, quiet())
			if err == nil {
				t.Fatalf("it was laid out: %q", names(t, tk.Dir))
			}
			if left := names(t, filepath.Join(f.Cache, "toolkits")); len(left) > 0 {
				t.Errorf("there is %q", left)
			}
			err = filepath.WalkDir(filepath.Dir(f.Cache), func(p string, _ fs.DirEntry, err error) error {
				if filepath.Base(p) == "evil" {
					t.Errorf("it has written %s", p)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := os.Lstat("/tmp/relmat-evil"); err == nil {
				t.Error("it has written /tmp/relmat-evil")
			}
		})
	}
}

// TestRecordLies has a RECORD that does not say what the wheel holds: bundles
// take licences and libraries by it.
func TestRecordLies(t *testing.T) {
	sum := "sha256=" + base64.RawURLEncoding.EncodeToString(make([]byte, 32))
	add := func(line string) func(string) string {
		return func(right string) string { return line + "\n" + right }
	}
	for name, record := range map[string]func(string) string{
		"a file that is not there":        add("nvidia/cu13/lib/libnone.so.1," + sum + ",1"),
		"another size":                    func(s string) string { return strings.Replace(s, ",1\n", ",2\n", 1) },
		"a negative size":                 func(s string) string { return strings.Replace(s, ",1\n", ",-1\n", 1) },
		"no size":                         func(s string) string { return strings.Replace(s, ",1\n", ",\n", 1) },
		"a directory":                     add("nvidia/cu13," + sum + ",4096"),
		"a file outside":                  add("../../../../../../../../etc/passwd," + sum + ",1"),
		"a licence outside":               add("nvidia_liar-1.dist-info/licenses/../../../../secret," + sum + ",6"),
		"an absolute path":                add("/etc/passwd," + sum + ",1"),
		"a path that is not clean":        add("nvidia/./cu13/lib/liba.so.1," + sum + ",1"),
		"a digest of another algorithm":   func(s string) string { return strings.Replace(s, "sha256=", "md5=", 1) },
		"a digest that is too short":      add("nvidia/cu13/lib/liba.so.1,sha256=AAAA,1"),
		"a line of two fields":            add("nvidia/cu13/lib/liba.so.1," + sum),
		"a quote that is not closed":      add(`"nvidia`),
		"nothing at all, as it is absent": func(string) string { return "" },
	} {
		t.Run(name, func(t *testing.T) {
			w := wheel{
				name: "nvidia-liar", version: "1", tag: "py3-none-any", record: record,
				files: []file{{path: "nvidia/cu13/lib/liba.so.1", text: "a"}},
			}.build(t)
			f := offline(t, w)
			write(t, filepath.Join(f.Cache, "secret"), "secret")
			tk, _, err := f.Ensure(t.Context(), "cuda13", lockOf(platform, w), platform, quiet())
			if err == nil {
				t.Fatalf("it was laid out; its licences are %q", tk.Licenses("nvidia-liar"))
			}
			if !strings.Contains(err.Error(), "RECORD") {
				t.Errorf("the error does not say where: %v", err)
			}
			if left := names(t, filepath.Join(f.Cache, "toolkits")); len(left) > 0 {
				t.Errorf("there is %q", left)
			}
		})
	}
}

// TestCacheCannotBeWritten has files where directories are needed.
func TestCacheCannotBeWritten(t *testing.T) {
	_, cublas, _ := cudaWheels(t)
	for _, blocked := range []string{"", "toolkits", "wheels", "locks"} {
		f := offline(t)
		write(t, filepath.Join(f.Cache, blocked), "")
		_, _, err := f.Ensure(t.Context(), "cuda13", lockOf(platform, cublas), platform, quiet())
		if err == nil || !strings.Contains(err.Error(), filepath.Join(f.Cache, blocked)) {
			t.Errorf("with a file at %q the error is %v", blocked, err)
		}
	}
}

// TestCacheWithOddName has a name that is a pattern to some functions.
func TestCacheWithOddName(t *testing.T) {
	_, cublas, _ := cudaWheels(t)
	for _, name := range []string{"a[b", "a*b", "a b", "ü"} {
		f := offline(t)
		f.Cache = filepath.Join(f.Cache, name)
		stock(t, f, cublas)
		tk, _, err := f.Ensure(t.Context(), "cuda13", lockOf(platform, cublas), platform, quiet())
		if err != nil {
			t.Errorf("a cache called %q: %v", name, err)
			continue
		}
		same(t, tk.Dir, cublas)
	}
}
