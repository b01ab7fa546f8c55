package matrix_test

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReadPins(t *testing.T) {
	// The second pin has the three kinds of places in which one version tends to
	// stand: CMake, a manifest, a document.
	const text = `
version: 1
project: {name: p, version-package: p}
pins:
  dep: {places: [{file: dep.txt, pattern: '(?m)^dep (\S*)$'}]}
  mlx:
    places:
      - {file: cmake/mlx.cmake, pattern: 'GIT_TAG\s+v([0-9.]+)'}
      - {file: sys/Cargo.toml, pattern: '(?m)^mlx-version = "([^"]+)"$'}
      - {file: docs/BUILD.md, pattern: 'MLX (\d+\.\d+\.\d+)|MLX is not pinned'}
programs: {p: {package: p}}
targets: {x: {triple: x86_64-unknown-linux-gnu}}
packages: {p: {asset: p, programs: [p]}}
`
	good := map[string]string{
		"dep.txt":         "# dep 0\ndep 7\n",
		"cmake/mlx.cmake": "FetchContent_Declare(mlx\n  GIT_TAG v0.31.2)\n",
		"sys/Cargo.toml":  "[package]\nname = \"sys\"\n\n[package.metadata]\nmlx-version = \"0.31.2\"\n",
		"docs/BUILD.md":   "MLX 0.31.2 is built in.\n",
	}
	const mlx = "reading pin mlx (pins.mlx.places[%] of targets.yaml): "
	for _, tt := range []struct {
		name string
		// edit is a file and its text instead.
		file, text string
		want       string
	}{
		{"all agree", "", "", ""},
		{"lines that end as on Windows", "dep.txt", "# dep 0\r\ndep 7\r\n", ""},
		{
			"one of three differs", "sys/Cargo.toml", "\n\nmlx-version = \"0.31.3\"\n",
			"pin mlx: its places disagree: cmake/mlx.cmake:2 says 0.31.2, sys/Cargo.toml:3 says 0.31.3, docs/BUILD.md:1 says 0.31.2; make them equal in the checkout DIR",
		},
		{
			"the last differs", "docs/BUILD.md", "\nMLX\nMLX 0.30.0\n",
			"pin mlx: its places disagree: cmake/mlx.cmake:2 says 0.31.2, sys/Cargo.toml:5 says 0.31.2, docs/BUILD.md:3 says 0.30.0; make them equal in the checkout DIR",
		},
		{"a file is missing", "sys/Cargo.toml", "-", strings.Replace(mlx, "%", "1", 1) + "the checkout DIR has no file sys/Cargo.toml"},
		{"a directory in its place", "sys/Cargo.toml", "/", "is a directory"},
		{"no match", "docs/BUILD.md", "nothing\n", strings.Replace(mlx, "%", "2", 1) + `the pattern MLX (\d+\.\d+\.\d+)|MLX is not pinned matches nothing in docs/BUILD.md`},
		{
			"three matches", "cmake/mlx.cmake", "GIT_TAG v1\n#\nGIT_TAG v1 GIT_TAG v1\n",
			strings.Replace(mlx, "%", "0", 1) + `the pattern GIT_TAG\s+v([0-9.]+) matches 3 times in cmake/mlx.cmake, first on lines 1 and 3; it must match once`,
		},
		{"a match that leaves the group out", "docs/BUILD.md", "\nMLX is not pinned\n", strings.Replace(mlx, "%", "2", 1) + "the group of the pattern MLX (\\d+\\.\\d+\\.\\d+)|MLX is not pinned is empty where it matches, on line 2 of docs/BUILD.md"},
		{"an empty pin", "dep.txt", "dep \n", `the group of the pattern (?m)^dep (\S*)$ is empty where it matches, on line 1 of dep.txt`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			files := maps.Clone(good)
			if tt.file != "" {
				files[tt.file] = tt.text
			}
			for name, text := range files {
				path := filepath.Join(dir, filepath.FromSlash(name))
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				var err error
				switch text {
				case "-":
				case "/":
					err = os.Mkdir(path, 0o755)
				default:
					err = os.WriteFile(path, []byte(text), 0o644)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			pins, err := parse(t, text).ReadPins(dir)
			if tt.want != "" {
				if err == nil || pins != nil || !strings.Contains(strings.ReplaceAll(err.Error(), dir, "DIR"), tt.want) {
					t.Errorf("got %q and the error\n%v\nwant\n%s", pins, err, tt.want)
				}
				return
			}
			if err != nil || !maps.Equal(pins, map[string]string{"dep": "7", "mlx": "0.31.2"}) {
				t.Errorf("got %q, %v", pins, err)
			}
		})
	}
}

func TestReadNoPins(t *testing.T) {
	text := base(t)
	text = text[:strings.Index(text, "pins:\n")] + text[strings.Index(text, "toolkits:\n"):]
	text = edit(t, text, ", pins: [dep]", "")
	pins, err := parse(t, text).ReadPins(filepath.Join(t.TempDir(), "absent"))
	if err != nil || pins == nil || len(pins) != 0 {
		t.Errorf("a file without pins gives %v, %v", pins, err)
	}
}
