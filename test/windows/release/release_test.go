package release_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestRelease releases the target as MinGW makes it.
func TestRelease(t *testing.T) {
	out := t.TempDir()
	args := []string{"release", "--target", target, "--to", out, "--tag", tag, "--skip-commit-check"}
	if os.Getenv("RELMAT_STATE") == "" {
		args = append([]string{"--state", t.TempDir()}, args...)
	}
	must(t, relmat(t, args...))
	dir := filepath.Join(out, tag)
	file := filepath.Join(dir, asset+".zip")
	t.Run("what the release says", func(t *testing.T) { checkRelease(t, dir) })
	t.Run("the archive", func(t *testing.T) { checkArchive(t, file) })
	t.Run("verify", func(t *testing.T) { must(t, relmat(t, "verify", file)) })
	t.Run("the archive alone under Wine", func(t *testing.T) { checkSmoke(t, file) })

	root := t.TempDir()
	tool(t, "unzip", "-q", file, "-d", root)
	root = filepath.Join(root, asset)
	t.Run("imports", func(t *testing.T) { checkImports(t, root) })
	t.Run("machine code", func(t *testing.T) { checkCode(t, root) })
	t.Run("without NVIDIA's DLLs", func(t *testing.T) { checkWithout(t, root) })
}

// smokeResult is what of a smoke test's result is looked at here.
type smokeResult struct {
	Device struct {
		Runner string
		GPUs   []string
	}
	Steps []struct {
		Name, Status, Reason string
		Values               map[string]string
	}
	CPU struct{ Status, Reason string }
}

func (s smokeResult) check(t *testing.T) {
	t.Helper()
	if !regexp.MustCompile(`^Wine 1\d`).MatchString(s.Device.Runner) || len(s.Device.GPUs) > 0 {
		t.Errorf("the device is %+v", s.Device)
	}
	status := map[string]string{}
	for _, step := range s.Steps {
		status[step.Name] = step.Status
		if step.Name == "generate" && step.Values["tokens"] != "10" {
			t.Errorf("the smoke test made %s tokens", step.Values["tokens"])
		}
	}
	for name, want := range map[string]string{
		"version": "passed", "server-version": "passed", "model": "passed", "selfcheck": "passed", "generate": "passed", "generate-cuda": "not run",
	} {
		if status[name] != want {
			t.Errorf("smoke step %s: %s, want %s", name, status[name], want)
		}
	}
	if s.CPU.Status != "not run" || !strings.Contains(s.CPU.Reason, "Wine") {
		t.Errorf("the CPU level is %+v", s.CPU)
	}
}

func checkRelease(t *testing.T, dir string) {
	sums := exec.CommandContext(t.Context(), "sha256sum", "--check", "--strict", "SHA256SUMS")
	sums.Dir = dir
	must(t, sums)
	var rel struct {
		Partial bool
		Targets []struct {
			Triple string
			Assets []struct{ Name string }
			Smoke  []smokeResult
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, "release.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &rel); err != nil {
		t.Fatal(err)
	}
	if !rel.Partial || len(rel.Targets) != 1 || rel.Targets[0].Triple != "x86_64-pc-windows-gnu" || rel.Targets[0].Assets[0].Name != asset+".zip" {
		t.Fatalf("release.json says %+v", rel)
	}
	rel.Targets[0].Smoke[0].check(t)
}

func checkSmoke(t *testing.T, file string) {
	temp := t.TempDir()
	cmd := relmat(t, "smoke", "--archive", file, "--json")
	cmd.Env = append(os.Environ(), "TMPDIR="+temp)
	var said struct{ Results []smokeResult }
	if err := json.Unmarshal([]byte(must(t, cmd)), &said); err != nil || len(said.Results) != 1 {
		t.Fatalf("%+v, %v", said, err)
	}
	said.Results[0].check(t)
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("the smoke test left %v, %v", left, err)
	}
	// Nothing of it runs any more: a process has its drive in its environment.
	drives, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range drives {
		if env, err := os.ReadFile(path); err == nil && strings.Contains(string(env), temp) {
			cmdline, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
			t.Errorf("%q still runs", cmdline)
		}
	}
}

func checkArchive(t *testing.T, file string) {
	tool(t, "unzip", "-tqq", file)
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s has %d bytes, %.1f %% of the 2 GiB that an asset may have", filepath.Base(file), info.Size(), 100*float64(info.Size())/budget)
	if info.Size() >= budget {
		t.Error("it is too large for GitHub")
	}
	names := strings.Fields(tool(t, "zipinfo", "-1", file))
	for _, want := range []string{
		// cublas64_13.dll imports cublasLt64_13.dll, for which Windows looks
		// beside the program and asks no hook.
		"bin/tinylm.exe", "bin/tinylm-server.exe", "bin/cudart64_13.dll", "bin/cublasLt64_13.dll",
		"nvidia/cublas/bin/cublas64_13.dll",
		"nvidia/cuda_nvrtc/bin/nvrtc64_130_0.dll", "nvidia/cuda_nvrtc/bin/nvrtc-builtins64_130.dll",
		"bin/include/cccl/cuda/std/tuple", "LICENSE", "NOTICE", "manifest.json",
	} {
		if !slices.Contains(names, asset+"/"+want) {
			t.Errorf("the archive lacks %s", want)
		}
	}
	for _, name := range names {
		if regexp.MustCompile(`(?i)/(nvcuda|libstdc\+\+|libgcc|libwinpthread)[^/]*\.dll$`).MatchString(name) {
			t.Errorf("the archive holds %s", name)
		}
	}
}

// importBlock is one library in what llvm-readobj says of imports.
var importBlock = regexp.MustCompile(`(?m)^(Delay)?Import \{\n  Name: (\S+)$`)

// checkImports has LLVM say what the programs import: NVIDIA's libraries with
// delay alone, and else what every Windows has.
func checkImports(t *testing.T, root string) {
	system := regexp.MustCompile(`(?i)^(api-ms-win-[a-z0-9-]+|kernel32|advapi32|ntdll|msvcrt|ucrtbase|ws2_32|userenv|bcrypt|bcryptprimitives|user32|shell32|ole32|oleaut32|synchronization|psapi|dbghelp)\.dll$`)
	for program, needs := range map[string][]string{
		"tinylm.exe":        {"cublas64_13.dll", "cudart64_13.dll", "nvrtc64_130_0.dll"},
		"tinylm-server.exe": {"cublas64_13.dll", "cudart64_13.dll"},
	} {
		var delayed []string
		for _, m := range importBlock.FindAllStringSubmatch(tool(t, "llvm-readobj-19", "--coff-imports", filepath.Join(root, "bin", program)), -1) {
			switch {
			case m[1] != "":
				delayed = append(delayed, m[2])
			case !system.MatchString(m[2]):
				t.Errorf("%s imports %s", program, m[2])
			}
		}
		slices.Sort(delayed)
		t.Logf("%s imports with delay: %v", program, delayed)
		for _, name := range needs {
			if !slices.Contains(delayed, name) {
				t.Errorf("%s does not import %s with delay", program, name)
			}
		}
		for _, name := range delayed {
			found, err := filepath.Glob(filepath.Join(root, "nvidia", "*", "bin", name))
			beside, berr := filepath.Glob(filepath.Join(root, "bin", name))
			if err != nil || berr != nil || len(found)+len(beside) != 1 {
				t.Errorf("%s imports %s with delay, and the package has %v %v", program, name, found, beside)
			}
		}
	}
}

// checkCode has NVIDIA's cuobjdump look into the section that MinGW's programs
// carry their kernels in.
func checkCode(t *testing.T, root string) {
	dir := t.TempDir()
	tool(t, "python3", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
		"--require-hashes", "--target", dir, "-r", "../../e2e/requirements.txt")
	dump := filepath.Join(dir, "nvidia", "cu13", "bin", "cuobjdump")
	for _, program := range []string{"tinylm", "tinylm-server"} {
		section := filepath.Join(dir, program+".fatbin")
		tool(t, "llvm-objcopy-19", "--dump-section", ".nv_fatb="+section, filepath.Join(root, "bin", program+".exe"), filepath.Join(dir, "copy.exe"))
		archs := regexp.MustCompile(`sm_\d+a?`).FindAllString(tool(t, dump, "--list-elf", section), -1)
		slices.Sort(archs)
		if got, want := slices.Compact(archs), []string{"sm_80", "sm_86", "sm_89", "sm_90a"}; !slices.Equal(got, want) {
			t.Errorf("%s has machine code for %v, want %v", program, got, want)
		}
		if ptx := tool(t, dump, "--list-ptx", section); !strings.Contains(ptx, "sm_90a") {
			t.Errorf("%s has no PTX of 90a:\n%s", program, ptx)
		}
	}
}

// checkWithout takes NVIDIA's directories away: what needs none of them runs,
// and what does says in a line which library is not there.
func checkWithout(t *testing.T, root string) {
	bin := filepath.Join(root, "bin")
	exe := filepath.Join(bin, "tinylm.exe")
	if r := wine(t, bin, exe, "init-model", "model"); r.code != 0 {
		t.Fatalf("init-model: %+v", r)
	}
	away := filepath.Join(root, "away")
	if err := os.Rename(filepath.Join(root, "nvidia"), away); err != nil {
		t.Fatal(err)
	}
	if r := wine(t, bin, exe, "--version"); r.code != 0 || strings.TrimSpace(r.stdout) != "tinylm 0.1.0" {
		t.Errorf("--version: %+v", r)
	}
	if r := wine(t, bin, exe, "generate", "-m", "model", "-p", "the little robot", "-n", "10", "--device", "cpu"); r.code != 0 || !strings.Contains(r.stderr, "generated 10 tokens") {
		t.Errorf("generate on the CPU: %+v", r)
	}
	r := wine(t, bin, exe, "selfcheck")
	if said := r.stdout + r.stderr; r.code != 1 || strings.Count(strings.TrimSpace(r.stderr), "\n") > 0 || !strings.Contains(said, "nvrtc64_130_0.dll") {
		t.Errorf("selfcheck without the libraries: %+v", r)
	}
	// With cudart gone as well, the GPU cannot even be asked for.
	if err := os.Rename(filepath.Join(bin, "cudart64_13.dll"), filepath.Join(root, "cudart64_13.dll")); err != nil {
		t.Fatal(err)
	}
	r = wine(t, bin, exe, "generate", "-m", "model", "-p", "the little robot", "-n", "10", "--device", "cuda")
	if line := strings.TrimSpace(r.stderr); r.code != 1 || strings.Contains(line, "\n") || !strings.HasPrefix(line, "error: ") || !strings.Contains(line, "cudart64_13.dll") {
		t.Errorf("generate on the GPU without the libraries: %+v", r)
	}
}
