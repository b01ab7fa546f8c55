//go:build soak && unix

package publish_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/relmat/relmat/internal/fsx"
	"github.com/relmat/relmat/internal/githubtest"
	"github.com/relmat/relmat/internal/publish"
)

// TestGHUploadsNoFaster has gh and relmat, each a process of its own, send
// 1.5 GB over HTTP/2 to a server on the loopback interface that throws them
// away, in turn: relmat takes no longer than gh and a hash of the file, and less
// than 64 MiB of memory.
func TestGHUploadsNoFaster(t *testing.T) {
	const size = 1500 << 20
	bin := soakGH(t)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	f := bigFile(t, t.TempDir(), "large.zip", size)
	times := map[string]time.Duration{}
	memory := map[string]int64{}
	for range 3 {
		for _, who := range []string{"gh", "relmat"} {
			s := githubtest.New(t, githubtest.HTTP2(), githubtest.Discard(func(string, int64) string { return "sha256:" + f.SHA256 }))
			s.Repo("o/r").AddRelease(githubtest.NewRelease{Tag: "v1"})
			cmd := ghCommand(t.Context(), t, bin, s, "release", "upload", "v1", f.Path)
			if who == "relmat" {
				text, err := json.Marshal(childJob{URL: s.URL, Repo: "o/r", Wanted: publish.Wanted{Tag: "v1", Files: []publish.File{f}}, Paths: []string{f.Path}})
				if err != nil {
					t.Fatal(err)
				}
				cmd = exec.CommandContext(t.Context(), exe)
				cmd.Env = append(os.Environ(), githubChildVar+"="+string(text), "SSL_CERT_FILE="+s.CAFile)
			}
			begun := time.Now()
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", who, err, out)
			}
			took := time.Since(begun)
			rss := peak(cmd.ProcessState)
			t.Logf("%s: %.2f s, %.0f MB/s, CPU %.1f s, %d MiB", who, took.Seconds(), size/1e6/took.Seconds(),
				(cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds(), rss>>20)
			if times[who] == 0 || took < times[who] {
				times[who] = took
			}
			memory[who] = max(memory[who], rss)
			if proto := s.Requests()[len(s.Requests())-1].Proto; proto != "HTTP/2.0" {
				t.Errorf("%s spoke %s", who, proto)
			}
			s.Close()
		}
	}
	// relmat hashes what it sends; whoever uses gh hashes the file besides.
	begun := time.Now()
	if sum, _, err := fsx.SHA256File(f.Path); err != nil || sum != f.SHA256 {
		t.Fatalf("%s, %v", sum, err)
	}
	hashing := time.Since(begun)
	t.Logf("relmat took %.2f times as long as gh, and %.2f times as gh and a hash (%s)", times["relmat"].Seconds()/times["gh"].Seconds(),
		times["relmat"].Seconds()/(times["gh"]+hashing).Seconds(), hashing.Round(time.Millisecond))
	if times["relmat"] > (times["gh"]+hashing)*11/10 {
		t.Errorf("relmat took %s, gh %s, hashing %s", times["relmat"], times["gh"], hashing)
	}
	if memory["relmat"] >= 64<<20 {
		t.Errorf("relmat took %d MiB", memory["relmat"]>>20)
	}
}

// peak is the largest resident set of a process, in bytes: Linux counts KiB
// (getrusage(2), ru_maxrss). What the kernel shows for a program that a large
// one has started begins at the large one's.
func peak(p *os.ProcessState) int64 {
	if u, ok := p.SysUsage().(*syscall.Rusage); ok {
		return int64(u.Maxrss) << 10
	}
	return 0
}
