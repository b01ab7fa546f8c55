package loader

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// byCPU are the directories by CPU features: those of glibc-hwcaps, and those
// that glibc dropped with 2.37.
var byCPU = regexp.MustCompile(`/(glibc-hwcaps/[^/]+|(tls|haswell|avx512_1|x86_64|aarch64|atomics)(/.*)?)$`)

// TestLdsoSearched compares the directories of what is missing with those that
// LD_DEBUG=libs shows.
func TestLdsoSearched(t *testing.T) {
	for name, text := range map[string]string{
		"rpath":   "exe p rpath=TOP/a:TOP/b:TOP/a/ needs=liba.so\nlib a/liba.so rpath=$ORIGIN/sub needs=libx.so\ndir b\ndir a/sub\ndir e\nenv TOP/e",
		"runpath": "exe p rpath=TOP/a needs=liba.so\nlib a/liba.so runpath=$ORIGIN/sub:TOP/b needs=libx.so\ndir b\ndir a/sub\ndir e\nenv TOP/e:TOP/b",
		"program": "exe p runpath=TOP/a needs=libx.so\ndir a",
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			for line := range strings.SplitSeq(text, "\n") {
				b.do(line)
			}
			cmd := exec.Command(b.path(b.root))
			cmd.Dir = b.dir
			cmd.Env = []string{"LD_TRACE_LOADED_OBJECTS=1", "LD_DEBUG=libs", "LD_LIBRARY_PATH=" + strings.Join(b.env, ":")}
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			var want []string
			for _, m := range regexp.MustCompile(`trying file=(\S+)/libx\.so\n`).FindAllStringSubmatch(string(out), -1) {
				if !byCPU.MatchString(m[1]) {
					want = append(want, filepath.Clean(m[1]))
				}
			}
			tree, err := Resolve(Disk(""), b.path(b.root), Options{Env: b.env})
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range tree.Order {
				for _, e := range tree.Nodes[p].Edges {
					if e.Name != "libx.so" {
						continue
					}
					got := slices.DeleteFunc(slices.Clone(e.Searched), func(d string) bool { return d == "/etc/ld.so.cache" })
					if e.Class != Missing || !slices.Equal(got, want) {
						t.Errorf("%s:\nours  %v\nld.so %v", e.Class, got, want)
					}
				}
			}
		})
	}
}

// TestCacheOfLdconfig compares with what ldconfig prints of the machine's cache,
// and of one made here that has entries by CPU level.
func TestCacheOfLdconfig(t *testing.T) {
	made := filepath.Join(t.TempDir(), "cache")
	if err := os.WriteFile(made, cacheFile(), 0o644); err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`\t(\S+) \((.*?)\) => (\S+)\n`)
	flags := map[string]uint32{"libc6,x86-64": 0x303, "libc6,AArch64": 0xa03}
	for _, file := range []string{"/etc/ld.so.cache", made} {
		printed, err := exec.Command("/sbin/ldconfig", "-C", file, "-p").Output()
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var want, got []string
		for _, m := range line.FindAllStringSubmatch(string(printed), -1) {
			kind, hwcap, _ := strings.Cut(m[2], `, hwcap: "`)
			if flags[kind] != 0 {
				want = append(want, strings.Join([]string{kind, cacheKey(m[1]), strings.TrimSuffix(hwcap, `"`), m[3]}, " "))
			}
		}
		for kind, f := range flags {
			entries, err := parseCache(data, f)
			if err != nil {
				t.Fatal(err)
			}
			for name, list := range entries {
				for _, e := range list {
					got = append(got, strings.Join([]string{kind, name, e.hwcap, e.value}, " "))
				}
			}
		}
		slices.Sort(want)
		slices.Sort(got)
		if len(want) < 2 || !slices.Equal(got, want) {
			t.Errorf("%s\nours     %q\nldconfig %q", file, got, want)
		}
	}
}

func TestCacheLookup(t *testing.T) {
	levels := linuxFacts.Machines["x86_64"].Hwcaps
	c := &ldCache{entries: map[string][]cacheEntry{
		"liba.so.1": {{"/v2", "x86-64-v2"}, {"/v3", "x86-64-v3"}, {"/other", "z15"}, {"/plain", ""}, {"/second", ""}},
		"libb.so.9": {{"/v4", "x86-64-v4"}},
	}}
	for _, try := range []struct{ cpu, name, want string }{
		{"none", "liba.so.1", "/plain"},
		{"x86-64-v2", "liba.so.1", "/v2"},
		{"x86-64-v3", "liba.so.01", "/v3"},
		{"x86-64-v4", "liba.so.1", "/v3"},
		{"", "liba.so.1", "/v3"},
		{"x86-64-v3", "libb.so.9", ""},
		{"", "libb.so.9", "/v4"},
		{"", "libd.so.1", ""},
	} {
		if got := c.lookup(try.name, levels, try.cpu); got != try.want {
			t.Errorf("%s on %q: %q, not %q", try.name, try.cpu, got, try.want)
		}
	}
}
