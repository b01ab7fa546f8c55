package cli_test

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// scripts is the directory with the scripts for this system: those of Unix ask
// Cargo, git, cc, tar and a shell, of which Wine has none.
const scripts = "windows"

const hostTriple = "x86_64-pc-windows-gnu"

// noGPU is an nvidia-smi that finds nothing.
var noGPU = struct{ name, text string }{"nvidia-smi.bat", "@exit /b 9\r\n"}

// standIns play the tools that Wine does not have, and the program that they
// make: this test binary under another name.
var standIns = map[string]func(){"cargo": cargo, "rustc": rustc, "git": git, "tiny": tiny, "vswhere": vswhere}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "stand-in:", err)
		os.Exit(101)
	}
}

// cargo answers as Cargo does: `cargo metadata` ("External tools", The Cargo
// Book), and `cargo rustc`, for which it "compiles" with a rustc of its own
// that lasts while there is a file called slow, and copies itself as the
// program.
func cargo() {
	dir, err := os.Getwd()
	must(err)
	id := "path+file:///" + filepath.ToSlash(dir) + "#tiny@0.1.0"
	target := map[string]any{"name": "tiny", "kind": []string{"bin"}, "src_path": filepath.Join(dir, "src", "main.rs")}
	if _, err := os.Stat("Cargo.toml"); err != nil {
		fmt.Fprintf(os.Stderr, "error: could not find `Cargo.toml` in `%s` or any parent directory\n", dir)
		os.Exit(101)
	}
	switch {
	case slices.Contains(os.Args, "-vV"), slices.Contains(os.Args, "--version"):
		fmt.Print("cargo 1.88.0 (873a06493 2025-05-10)\r\n")
	case os.Args[1] == "metadata":
		must(json.NewEncoder(os.Stdout).Encode(map[string]any{
			"packages": []any{map[string]any{
				"id": id, "name": "tiny", "version": "0.1.0", "manifest_path": filepath.Join(dir, "Cargo.toml"),
				"features": map[string]any{}, "dependencies": []any{}, "targets": []any{target},
			}},
			"workspace_root": dir,
		}))
	case os.Args[1] == "rustc":
		compiler := exec.Command("rustc", "--crate-name", "tiny")
		compiler.Stderr = os.Stderr
		must(compiler.Run())
		triple := os.Args[slices.Index(os.Args, "--target")+1]
		exe := filepath.Join(os.Getenv("CARGO_TARGET_DIR"), triple, "release", "tiny.exe")
		must(os.MkdirAll(filepath.Dir(exe), 0o755))
		must(copySelf(exe))
		fmt.Fprint(os.Stderr, "   Compiling tiny v0.1.0\r\n")
		must(json.NewEncoder(os.Stdout).Encode(map[string]any{"reason": "compiler-artifact", "package_id": id, "target": target, "executable": exe}))
		fmt.Print(`{"reason":"build-finished","success":true}` + "\r\n")
	default:
		must(fmt.Errorf("cargo %s is not played", strings.Join(os.Args[1:], " ")))
	}
}

func copySelf(to string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	in, err := os.Open(self)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return out.Close()
}

func rustc() {
	if slices.Contains(os.Args, "-vV") {
		fmt.Print("rustc 1.88.0 (6b00bc388 2025-06-23)\r\nbinary: rustc\r\nhost: x86_64-pc-windows-msvc\r\nrelease: 1.88.0\r\nLLVM version: 20.1.5\r\n")
		return
	}
	if !slices.Contains(os.Args, "--crate-name") {
		must(fmt.Errorf("rustc %s is not played", strings.Join(os.Args[1:], " ")))
	}
	must(os.WriteFile("pid", fmt.Append(nil, os.Getpid()), 0o644))
	for {
		if _, err := os.Stat("slow"); err != nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// vswhere knows the Build Tools that a script has laid out in ProgramData, the
// one place that it is told of and that needs no administrator.
func vswhere() {
	place := filepath.Join(os.Getenv("ProgramData"), "Build & Tools (x86)")
	installations := []map[string]any{}
	if _, err := os.Stat(place); err == nil && slices.Contains(os.Args, "Microsoft.VisualStudio.Component.VC.Tools.x86.x64") {
		installations = append(installations, map[string]any{
			"installationPath": place, "installationVersion": "17.14.36401.2", "displayName": "Visual Studio Build Tools 2022",
			"productId": "Microsoft.VisualStudio.Product.BuildTools", "isComplete": true, "isLaunchable": true, "isPrerelease": false,
		})
	}
	must(json.NewEncoder(os.Stdout).Encode(installations))
}

// git is outside of any checkout.
func git() {
	fmt.Fprint(os.Stderr, "fatal: not a git repository (or any of the parent directories): .git\n")
	os.Exit(128)
}

// tiny is what the project's src/main.rs does.
func tiny() {
	switch args := os.Args[1:]; {
	case slices.Equal(args, []string{"--version"}):
		fmt.Print("tiny 0.1.0\r\n")
	case len(args) == 2 && args[0] == "init-model":
		must(os.WriteFile(args[1], []byte("once upon a time"), 0o644))
	case len(args) == 3 && args[0] == "generate":
		text, err := os.ReadFile(args[1])
		must(err)
		fmt.Printf("%s\r\n", text)
		fmt.Fprintf(os.Stderr, "generated 10 tokens in 0.1 s on %s: some processor\r\n", args[2])
	default:
		fmt.Fprint(os.Stderr, "usage: tiny --version | init-model FILE | generate FILE DEVICE\r\n")
		os.Exit(2)
	}
}
