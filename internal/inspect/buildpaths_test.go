package inspect

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/fatbin"
	"github.com/relmat/relmat/internal/objfile"
)

func scanAll(b []byte) []string {
	var got []string
	scan(b, 0, len(b), func(start, end int, _ string) { got = append(got, string(b[start:end])) })
	return got
}

func TestScan(t *testing.T) {
	for text, want := range map[string]string{
		"\x00/home/runner/work/x.c\x00":        "/home/runner/work/x.c",
		"/Users/me/x.m":                        "/Users/me/x.m",
		"say \"/root/.cargo/registry/src/a\"":  "/root/.cargo/registry/src/a",
		`C:\Users\me\x.cpp`:                    `C:\Users\me\x.cpp`,
		`d:\a\mlx\mlx\x.h`:                     `d:\a\mlx\mlx\x.h`,
		"C:/Users/me/x.cpp":                    "C:/Users/me/x.cpp",
		"D:/a/repo/x.rs":                       "D:/a/repo/x.rs",
		"/__w/repo/repo/x.c":                   "/__w/repo/repo/x.c",
		"-I/home/me/include":                   "/home/me/include",
		"-fdebug-prefix-map=/build/x=.":        "/build/x=.",
		"file:///home/me/x":                    "/home/me/x",
		"/usr/local/cargo/registry/src/i/x.rs": "/usr/local/cargo/registry/src/i/x.rs",
		"/opt/rust/.rustup/toolchains/s/l.rs":  "/opt/rust/.rustup/toolchains/s/l.rs",
		"/opt/conda/lib/x.so":                  "/opt/conda/lib/x.so",
		"/github/workspace/x":                  "/github/workspace/x",
		"/tmp/tmpxft_0001/x.cudafe1.cpp":       "/tmp/tmpxft_0001/x.cudafe1.cpp",
		"a /home/u/1 /home/u/2":                "/home/u/1 /home/u/2",
		// No paths of a build machine.
		"/home/":                       "",
		"/tmp/\x00":                    "",
		"/tmp/%s":                      "/tmp/%s",
		"/usr/lib/x.so":                "",
		"lib/home/x":                   "",
		"../build/x":                   "",
		"https://example.org/home/x":   "",
		"https://home/x":               "",
		"/rustc/0123abcd/library/x.rs": "",
		"x/tmp/y":                      "",
		`\Users\me`:                    "",
		`abC:\Users\me`:                "",
		"/homes/x":                     "",
		"/":                            "",
		`\`:                            "",
		"":                             "",
	} {
		if got := strings.Join(scanAll([]byte(text)), " "); got != want {
			t.Errorf("%q has %q, want %q", text, got, want)
		}
	}
}

// TestBlocks wants each path once and whole, wherever it lies to the borders of
// the blocks in which sections are read.
func TestBlocks(t *testing.T) {
	const path = "/home/builder/some/where/file.cpp"
	for shift := -len(path) - 2; shift <= 2; shift++ {
		data := make([]byte, 3*blockSize)
		at := []int{blockSize + shift, 2*blockSize + shift}
		for _, n := range at {
			copy(data[n:], path)
		}
		copy(data[len(data)-len(path):], path)
		s := &surveyor{opts: Options{Jobs: 4}, buffers: make(chan []byte, 2)}
		s.buffers <- nil
		s.buffers <- nil
		o := &objfile.Object{Sections: []objfile.Section{
			{Name: ".text", Offset: 0, Size: 100, Exec: true}, {Name: ".rodata", Offset: 10, Size: int64(len(data)) - 10},
		}}
		list, more, err := s.leaks(context.Background(), bytes.NewReader(data), o, int64(len(data)))
		want := []Leak{{Path: path, What: "a user's home directory (Linux)", Section: ".rodata", Offset: int64(at[0]), Count: 3}}
		if err != nil || more != 0 || !slices.Equal(list, want) {
			t.Errorf("shift %d: %+v, %d, %v", shift, list, more, err)
		}
	}
}

// TestManyLeaks wants a file full of paths to stay within bounds.
func TestManyLeaks(t *testing.T) {
	var b bytes.Buffer
	for n := range maxLeaks + 500 {
		fmt.Fprintf(&b, "/home/u/%d\x00", n)
	}
	s := &surveyor{opts: Options{Jobs: 1}, buffers: make(chan []byte, 1)}
	s.buffers <- nil
	list, more, err := s.leaks(context.Background(), bytes.NewReader(b.Bytes()), &objfile.Object{Size: int64(b.Len())}, int64(b.Len()))
	if err != nil || len(list) != maxLeaks || more != 500 {
		t.Errorf("%d and %d more, %v", len(list), more, err)
	}
}

func TestApart(t *testing.T) {
	const most = 1<<63 - 1
	for _, tt := range []struct{ in, want string }{
		{"a 0 10, b 10 10", "a 0 10, b 10 10"},
		{"b 10 10, a 0 10", "a 0 10, b 10 10"},
		{"a 0 30, b 10 10, c 20 50", "a 0 30, c 30 40"},
		{"a 90 20, b 100 1, c 5000 1", "a 90 10"},
		{fmt.Sprintf("a 10 %d, b %d %d", most, most, most), "a 10 90"},
		{"a 0 100, b 0 100, c 0 100", "a 0 100"},
	} {
		parse := func(text string) (out []fatbin.Region) {
			for part := range strings.SplitSeq(text, ", ") {
				var r fatbin.Region
				if _, err := fmt.Sscan(part, &r.Name, &r.Offset, &r.Size); err != nil {
					t.Fatal(err)
				}
				out = append(out, r)
			}
			return out
		}
		if got := apart(parse(tt.in), 100); !slices.Equal(got, parse(tt.want)) {
			t.Errorf("%s are %v, want %s", tt.in, got, tt.want)
		}
	}
}

func TestBuildPathTable(t *testing.T) {
	n := 0
	for _, bySecond := range patterns {
		for _, list := range bySecond {
			for _, p := range list {
				n++
				// Shorter ones would be found in any compressed data.
				if len(p.Text) < 4 || p.What == "" || p.at < 0 || p.at+1 >= len(p.Text) {
					t.Errorf("%+v", p)
				}
			}
		}
	}
	if n < 20 {
		t.Errorf("%d patterns", n)
	}
}

// FuzzScan wants what is found to lie in the bytes, and two halves to give what
// the whole gives.
func FuzzScan(f *testing.F) {
	for _, s := range []string{"/home/u/x", `C:\Users\u\x`, "/.cargo/registry/x", "-I/tmp/x//tmp/y", `\\/\:\a\x`, ""} {
		f.Add([]byte(s), 3)
	}
	f.Fuzz(func(t *testing.T, b []byte, at int) {
		type hit struct{ start, end int }
		var whole, halves []hit
		scan(b, 0, len(b), func(start, end int, what string) {
			if start < 0 || start >= end || end > len(b) || what == "" {
				t.Fatalf("%d to %d of %d", start, end, len(b))
			}
			whole = append(whole, hit{start, end})
		})
		if len(whole) > len(b) {
			t.Fatalf("%d in %d bytes", len(whole), len(b))
		}
		at = min(max(at, 0), len(b))
		for _, part := range [][2]int{{0, at}, {at, len(b)}} {
			scan(b, part[0], part[1], func(start, end int, _ string) { halves = append(halves, hit{start, end}) })
		}
		for _, h := range whole {
			if !slices.Contains(halves, h) {
				t.Fatalf("%q is not found in halves", b[h.start:h.end])
			}
		}
	})
}

// BenchmarkScan is the rate of the scan itself, over bytes as of compressed
// data.
func BenchmarkScan(b *testing.B) {
	data := make([]byte, blockSize)
	x := uint32(1)
	for i := range data {
		x = x*1664525 + 1013904223
		data[i] = byte(x >> 24)
	}
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		scan(data, 0, len(data), func(int, int, string) {})
	}
}
