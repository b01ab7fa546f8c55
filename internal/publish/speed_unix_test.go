//go:build unix

package publish_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/relmat/relmat/internal/githubtest"
	"github.com/relmat/relmat/internal/publish"
)

// effort is what uploads took: of each figure the median, since a machine that
// others use makes now one and now another of them fast.
type effort struct {
	walls, cpus []time.Duration
	memory      int64 // the most, in bytes
}

func (e *effort) add(took time.Duration, p *os.ProcessState) {
	e.walls = append(e.walls, took)
	e.cpus = append(e.cpus, p.UserTime()+p.SystemTime())
	e.memory = max(e.memory, peak(p))
}

func (e *effort) wall() time.Duration { return median(e.walls) }

func (e *effort) cpu() time.Duration { return median(e.cpus) }

func median(list []time.Duration) time.Duration {
	s := slices.Sorted(slices.Values(list))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// speedSize is what is sent, in bytes.
const speedSize = 1500 << 20

// race has gh, relmat that remembers the file's digest, and relmat that does
// not, each a process of its own, send 1.5 GB over HTTP/2 to a server on the
// loopback interface that throws them away, in turn. relmat makes its archives
// and hashes them then, so that a release remembers the digests.
func race(t testing.TB, rounds int) map[string]*effort {
	t.Helper()
	bin := githubtest.GH(t)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	f := bigFile(t, dir, "large.zip", speedSize)
	remember(t, filepath.Join(dir, "digests.json"), f)
	efforts := map[string]*effort{}
	for range rounds {
		for _, who := range []string{"gh", "relmat", "relmat, hashing"} {
			s := githubtest.New(t, githubtest.HTTP2(), githubtest.Discard(func(string, int64) string { return "sha256:" + f.SHA256 }))
			s.Repo("o/r").AddRelease(githubtest.NewRelease{Tag: "v1"})
			cmd := ghCommand(t.Context(), t, bin, s, "release", "upload", "v1", f.Path)
			if who != "gh" {
				j := childJob{URL: s.URL, Repo: "o/r", Wanted: publish.Wanted{Tag: "v1", Files: []publish.File{f}}, Paths: []string{f.Path}}
				if who == "relmat" {
					j.Digests = filepath.Join(dir, "digests.json")
				}
				text, err := json.Marshal(j)
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
			t.Logf("%s: %.2f s, %.0f MB/s, CPU %.2f s, %d MiB", who, took.Seconds(), speedSize/1e6/took.Seconds(),
				(cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds(), peak(cmd.ProcessState)>>20)
			if efforts[who] == nil {
				efforts[who] = &effort{}
			}
			efforts[who].add(took, cmd.ProcessState)
			if proto := s.Requests()[len(s.Requests())-1].Proto; proto != "HTTP/2.0" {
				t.Errorf("%s spoke %s", who, proto)
			}
			s.Close()
		}
	}
	return efforts
}

// BenchmarkUploadBesideGH compares an upload of 1.5 GB by relmat with one by gh
// 2.83, which it builds.
func BenchmarkUploadBesideGH(b *testing.B) {
	for b.Loop() {
		of := race(b, 5)
		gh, relmat := of["gh"], of["relmat"]
		b.ReportMetric(relmat.wall().Seconds()/gh.wall().Seconds(), "times-gh")
		b.ReportMetric(relmat.cpu().Seconds()/gh.cpu().Seconds(), "times-gh-CPU")
		b.ReportMetric(of["relmat, hashing"].wall().Seconds()/gh.wall().Seconds(), "times-gh-hashing")
		b.ReportMetric(speedSize/1e6/relmat.wall().Seconds(), "MB/s-sent")
		b.ReportMetric(float64(relmat.memory)/(1<<20), "MiB-memory")
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
