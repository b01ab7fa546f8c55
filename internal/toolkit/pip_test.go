package toolkit

import (
	"archive/zip"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestPlatformTags(t *testing.T) {
	for platform, want := range map[string]struct{ has, hasNot []string }{
		"linux-x86_64": {
			[]string{"manylinux2014_x86_64", "manylinux_2_17_x86_64", "manylinux_2_28_x86_64", "manylinux_2_39_x86_64", "manylinux_2_5_x86_64", "linux_x86_64"},
			[]string{"manylinux_2_17_aarch64", "musllinux_1_2_x86_64", "win_amd64", "any"},
		},
		"linux-aarch64":   {[]string{"manylinux2014_aarch64", "manylinux_2_17_aarch64"}, []string{"manylinux_2_17_x86_64"}},
		"windows-x86_64":  {[]string{"win_amd64"}, []string{"win_arm64"}},
		"windows-aarch64": {[]string{"win_arm64"}, []string{"win_amd64"}},
		"macos-aarch64":   {[]string{"macosx_11_0_arm64", "macosx_14_0_arm64", "macosx_26_0_arm64"}, []string{"macosx_11_0_x86_64", "macosx_16_0_arm64", "macosx_10_9_arm64"}},
		"macos-x86_64":    {[]string{"macosx_10_9_x86_64", "macosx_14_0_x86_64"}, []string{"macosx_14_0_arm64"}},
	} {
		tags, err := platformTags(platform)
		if err != nil {
			t.Errorf("%s: %v", platform, err)
		}
		for _, tag := range want.has {
			if !slices.Contains(tags, tag) {
				t.Errorf("%s lacks %s", platform, tag)
			}
		}
		for _, tag := range want.hasNot {
			if slices.Contains(tags, tag) {
				t.Errorf("%s has %s", platform, tag)
			}
		}
		if len(slices.Compact(slices.Sorted(slices.Values(tags)))) != len(tags) {
			t.Errorf("%s has a tag twice: %q", platform, tags)
		}
	}
	// The wheel for the oldest macOS is the one that most can use.
	if tags, _ := platformTags("macos-aarch64"); len(tags) == 0 || tags[0] != "macosx_11_0_arm64" {
		t.Errorf("the first of macos-aarch64 is %q", tags)
	}
	for _, platform := range []string{"", "macos", "macos-ppc64", "windows-i686", "windows", "freebsd-x86_64"} {
		if tags, err := platformTags(platform); err == nil {
			t.Errorf("%q has %q", platform, tags)
		}
	}
}

// item is an entry of pip's report.
func item(name, version, url, digest string) string {
	return fmt.Sprintf(`{"download_info": {"url": %q, "archive_info": {"hash": "sha256=%s", "hashes": {"sha256": %q}}},
		"is_direct": false, "requested": true, "metadata": {"name": %q, "version": %q, "requires_python": ">=3"}}`, url, digest, digest, name, version)
}

func report(items ...string) []byte {
	return []byte(`{"version": "1", "pip_version": "23.2.1", "install": [` + strings.Join(items, ",") + `], "environment": {}}`)
}

func TestParseReport(t *testing.T) {
	const base = "https://files.example.org/packages/aa/bb/"
	got, err := parseReport(report(
		item("nvidia-cublas", "13.1.0.3", base+cublasFile, sumA),
		item("a", "1+cu13", base+"a-1%2Bcu13-py3-none-any.whl", sumB),
		item("b", "1", base+"b-1-py3-none-any.whl#sha256="+sumA, sumB),
		item("c", "1", base+"c-1-py3-none-any.whl?token=1/2", sumB),
		item("d", "1", "file:///wheels/d-1-py3-none-any.whl", sumB),
	))
	if err != nil {
		t.Fatal(err)
	}
	want := []Wheel{
		{Name: "a", Version: "1+cu13", File: "a-1+cu13-py3-none-any.whl", SHA256: sumB},
		{Name: "b", Version: "1", File: "b-1-py3-none-any.whl", SHA256: sumB},
		{Name: "c", Version: "1", File: "c-1-py3-none-any.whl", SHA256: sumB},
		{Name: "d", Version: "1", File: "d-1-py3-none-any.whl", SHA256: sumB},
		{Name: "nvidia-cublas", Version: "13.1.0.3", File: cublasFile, SHA256: sumA},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestParseReportRefuses(t *testing.T) {
	const url = "https://files.example.org/a-1-py3-none-any.whl"
	for name, test := range map[string]struct{ text, want string }{
		"nothing":              {"", "pip's report: unexpected end of JSON input"},
		"half a report":        {string(report(item("a", "1", url, sumA)))[:100], "pip's report: unexpected end of JSON input"},
		"another shape":        {`{"install": {}}`, "pip's report: json: cannot unmarshal object"},
		"no wheels":            {string(report()), "pip's report names no wheel"},
		"no digest":            {string(report(item("a", "1", url, ""))), "a 1 comes as \"a-1-py3-none-any.whl\" without a usable name or digest"},
		"another digest":       {strings.ReplaceAll(string(report(item("a", "1", url, sumA))), "sha256", "md5"), "without a usable name or digest"},
		"a source archive":     {string(report(item("a", "1", "https://x/a-1.tar.gz", sumA))), "a 1 comes as \"a-1.tar.gz\""},
		"a directory":          {string(report(item("a", "1", "https://x/", sumA))), "without a usable name"},
		"no address":           {string(report(item("a", "1", "", sumA))), "without a usable name"},
		"an address of no use": {string(report(item("a", "1", "http://[::1/a.whl", sumA))), "pip's report: parse"},
		"a hidden path":        {string(report(item("a", "1", "https://x/a-1-py3-none-any%2F..%2F..%2Fx.whl", sumA))), "without a usable name"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseReport([]byte(test.text))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %+v, %v; want %q", got, err, test.want)
			}
		})
	}
}

// FuzzParseReport wants that no name out of a report can leave the directory
// that it is put into.
func FuzzParseReport(f *testing.F) {
	f.Add(report(item("a", "1", "https://x/a-1-py3-none-any.whl", sumA), item("b", "1", "https://x/b-1%2Bc-py3-none-any.whl#x", sumB)))
	f.Add(report(item("a", "1", "https://x/..%2fa-1-py3-none-any.whl", sumA)))
	f.Add(report())
	f.Add([]byte(`{"install": [{"metadata": null, "download_info": {"url": "%zz"}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		wheels, err := parseReport(data)
		if (len(wheels) == 0) == (err == nil) {
			t.Fatalf("got %v and %v", wheels, err)
		}
		for _, w := range wheels {
			if filepath.Base(w.File) != w.File || strings.ContainsAny(w.File, "/\\ \n") || !strings.HasSuffix(w.File, ".whl") || len(w.SHA256) != 64 {
				t.Errorf("%+v was taken", w)
			}
		}
	})
}

func TestUnpackedSize(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.whl")
	if err := os.WriteFile(path, []byte("no archive"), 0o644); err != nil {
		t.Fatal(err)
	}
	if n, err := unpackedSize(path); err == nil {
		t.Errorf("a file that is no archive unpacks to %d bytes", n)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z := zip.NewWriter(f)
	for _, n := range []int{0, 1, 70_000} {
		w, err := z.Create(fmt.Sprint(n))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(make([]byte, n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := unpackedSize(path); err != nil || n != 70_001 {
		t.Errorf("got %d, %v", n, err)
	}
}
