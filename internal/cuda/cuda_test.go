package cuda

import (
	"bytes"
	"encoding/json"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestIsDriver(t *testing.T) {
	for name, want := range map[string]bool{
		// What the driver's installer brings.
		"libcuda.so.1":                   true,
		"libcuda.so.580.95.05":           true,
		"libnvidia-ml.so.1":              true,
		"libnvidia-ptxjitcompiler.so.1":  true,
		"libnvidia-nvvm.so.4":            true,
		"nvcuda.dll":                     true,
		"nvml.dll":                       true,
		"NVCUDA.DLL":                     true,
		"nvcudart_hybrid64.dll":          true,
		"libnvcuvid.so.1":                true,
		"nvldumdx.dll":                   true,
		"libcudart.so.13":                false,
		"libcublas.so.13":                false,
		"libcublasLt.so.13":              false,
		"libnvrtc.so.13":                 false,
		"libnvrtc-builtins.so.13.0":      false,
		"libnvJitLink.so.13":             false,
		"libcudnn.so.9":                  false,
		"cudart64_13.dll":                false,
		"nvrtc64_130_0.dll":              false,
		"nvJitLink_130_0.dll":            false,
		"libcudadebugger-of-mine.so.1":   false,
		"libmynvidia-ml.so.1":            false,
		"libcuda":                        false,
		"":                               false,
		"lib/libcuda.so.1":               false,
		"/usr/lib/libcuda.so.1":          false,
		"libc.so.6":                      false,
		"libnvidia-ml.so.1/../libmine.a": false,
	} {
		if got := IsDriver(name); got != want {
			t.Errorf("IsDriver(%q) is %v", name, got)
		}
	}
}

func TestLoadedBy(t *testing.T) {
	tests := []struct {
		library string
		names   []string
		pattern string
	}{
		{library: "libnvrtc.so.13", pattern: "libnvrtc-builtins"},
		{library: "libnvrtc.so.13.0.88", pattern: "libnvrtc-builtins"},
		{library: "libcublasLt.so.13", names: []string{"libnvrtc.so.*"}},
		{library: "libcufft.so.12", names: []string{"libnvJitLink.so.*", "libnvrtc.so.*"}},
		{library: "libcudnn.so.9", names: []string{
			"libcudnn_ops.so.*", "libcudnn_cnn.so.*", "libcudnn_adv.so.*", "libcudnn_graph.so.*", "libcudnn_ext.so.*",
		}},
		{library: "libcusparse.so.12", names: []string{"libnvJitLink.so.*"}},
		{library: "libcudnn_adv.so.9", names: []string{"libcublasLt.so.*"}},
		{library: "libmlx.so", names: []string{"libnvidia-ml.so.1"}},
		{library: "nvrtc64_130_0.dll", pattern: "nvrtc-builtins64_"},
		{library: "cublasLt64_13.dll", names: []string{"nvrtc64_*_0.dll"}},
		{library: "cufft64_12.dll", names: []string{"nvjitlink_*_0.dll", "nvrtc64_*_0.dll"}},
		{library: "cusparse64_12.dll", names: []string{"nvjitlink_*_0.dll"}},
		{library: "cudnn64_9.dll", names: []string{"cudnn_ops64_*.dll", "cudnn_cnn64_*.dll", "cudnn_adv64_*.dll", "cudnn_graph64_*.dll", "cudnn_ext64_*.dll"}},
		{library: "MLX.DLL", names: []string{"nvml.dll"}},
		// These begin as others in the table do, and are not they.
		{library: "nvrtc64_130_0.alt.dll"},
		{library: "nvrtc-builtins64_130.dll"},
		{library: "cublas64_13.dll"},
		{library: "cudnn_ops64_9.dll"},
		{library: "libcublas.so.13"},
		{library: "libnvrtc-builtins.so.13.0"},
		{library: "libcudnn_ops.so.9"},
		{library: "libcudart.so.13"},
		{library: "libc.so.6"},
		{library: "tinylm"},
		{library: ""},
	}
	for _, test := range tests {
		var names, patterns []string
		for _, l := range LoadedBy(test.library) {
			names = append(names, l.Names...)
			if l.Pattern != "" {
				patterns = append(patterns, l.Pattern)
			}
		}
		if !slices.Equal(names, test.names) {
			t.Errorf("%s loads %q, want %q", test.library, names, test.names)
		}
		if (len(patterns) > 0) != (test.pattern != "") || test.pattern != "" && !strings.HasPrefix(patterns[0], test.pattern) {
			t.Errorf("%s has the expressions %q, want one for %q", test.library, patterns, test.pattern)
		}
	}
}

// TestBuiltinsName has the expression find the name in text as NVRTC holds it,
// with other text on both sides.
func TestBuiltinsName(t *testing.T) {
	loaded := LoadedBy("libnvrtc.so.13")
	if len(loaded) != 1 {
		t.Fatalf("%d entries for libnvrtc", len(loaded))
	}
	re := regexp.MustCompile(loaded[0].Pattern)
	for text, want := range map[string]string{
		"\x00libnvrtc-builtins.so.13.0\x00nvrtc: error":      "libnvrtc-builtins.so.13.0",
		"\x00libnvrtc-builtins.so.12.9\x00":                  "libnvrtc-builtins.so.12.9",
		"libnvrtc-builtins.alt.so.13.0 libnvrtc-builtins.so": "",
	} {
		if got := re.FindString(text); got != want {
			t.Errorf("found %q in %q, want %q", got, text, want)
		}
	}
}

// TestTable judges what no look-up would show: a pattern that cannot match, a
// key that is misspelt, an entry that says nothing.
func TestTable(t *testing.T) {
	dec := json.NewDecoder(bytes.NewReader(librariesJSON))
	dec.DisallowUnknownFields()
	var strict struct {
		Source string `json:"source"`
		table
	}
	if err := dec.Decode(&strict); err != nil {
		t.Fatal(err)
	}
	if strict.Source == "" || len(strict.Driver) == 0 || len(strict.LoadedByName) == 0 || len(strict.Beside) == 0 || len(strict.Families) == 0 {
		t.Error("a part of the table is empty")
	}
	patterns := slices.Clone(strict.Driver)
	libraries := map[string]bool{}
	for _, l := range strict.LoadedByName {
		if len(l.Names) == 0 && l.Pattern == "" {
			t.Errorf("%s loads nothing", l.Library)
		}
		if libraries[l.Library] {
			t.Errorf("%s has two entries", l.Library)
		}
		libraries[l.Library] = true
		patterns = append(append(patterns, l.Library), l.Names...)
		if re := regexp.MustCompile(l.Pattern); l.Pattern != "" {
			if prefix, _ := re.LiteralPrefix(); prefix == "" {
				t.Errorf("%s: %q begins with no plain text, by which whole libraries are searched fast", l.Library, l.Pattern)
			}
		}
	}
	for _, f := range strict.Families {
		patterns = append(patterns, f.Members...)
	}
	for _, b := range strict.Beside {
		patterns = append(append(patterns, b.Library), b.Files...)
	}
	for _, p := range patterns {
		if strings.HasSuffix(strings.ToLower(p), ".dll") && p != strings.ToLower(p) {
			t.Errorf("%q is not in lower case, as DLLs are compared", p)
		}
		if _, err := path.Match(p, ""); err != nil || strings.Contains(p, "/") {
			t.Errorf("%q is no pattern of a file name: %v", p, err)
		}
	}
	for _, l := range strict.LoadedByName {
		for _, n := range l.Names {
			// A driver library is named exactly: no package holds one for a pattern.
			if strings.Contains(n, "*") && IsDriver(strings.ReplaceAll(n, "*", "1")) {
				t.Errorf("%s loads %s, a driver library that no package holds", l.Library, n)
			}
		}
	}
}

func TestDamagedTable(t *testing.T) {
	for name, text := range map[string]string{
		"not JSON":       `{"driver": [}`,
		"bad expression": `{"loaded_by_name": [{"library": "liba.so.*", "pattern": "("}]}`,
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: the table was taken", name)
				}
			}()
			mustParse([]byte(text))
		}()
	}
}

// TestFamilies has every library that loads others by name be of the family of
// those that are of one version with it.
func TestFamilies(t *testing.T) {
	for name, want := range map[string]string{
		"libcudnn.so.9": "cuDNN", "libcudnn_engines_tensor_ir.so.9": "cuDNN", "cudnn64_9.dll": "cuDNN", "cudnn_graph64_9.dll": "cuDNN",
		"libnvrtc.so.13": "NVRTC", "libnvrtc-builtins.so.13.2": "NVRTC", "nvrtc64_130_0.dll": "NVRTC", "NVRTC-builtins64_132.dll": "NVRTC",
		"libcublas.so.13": "cuBLAS", "cublasLt64_13.dll": "cuBLAS", "libcufftw.so.12": "cuFFT", "cusolverMg64_12.dll": "cuSOLVER",
		"libcusparse.so.12": "", "libcudart.so.13": "", "libc.so.6": "", "": "", "libcudnn.so": "",
	} {
		if got := FamilyOf(name); got != want {
			t.Errorf("%s is of family %q, want %q", name, got, want)
		}
	}
	for _, f := range libraries.Families {
		for _, m := range f.Members {
			if got := FamilyOf(strings.ReplaceAll(m, "*", "1")); got != f.Name {
				t.Errorf("%s is of %q and of %q", m, got, f.Name)
			}
		}
	}
}

func TestBeside(t *testing.T) {
	if got := Beside("libmlx.dylib"); !slices.Equal(got, []string{"mlx.metallib"}) {
		t.Errorf("libmlx.dylib reads %q", got)
	}
	if got := Beside("libmlx.so"); got != nil {
		t.Errorf("libmlx.so reads %q", got)
	}
}
