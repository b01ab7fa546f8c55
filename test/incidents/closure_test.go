package incidents

import (
	"strings"
	"testing"
)

// cudnn makes cuDNN's libraries: each of the version that the function gives
// for its name, none where that is empty. They are compiled with the names and
// symbols by which real ones are known.
func cudnn(p *tree, version func(name string) string) {
	all := []string{"ops", "cnn", "adv", "graph", "ext", "engines_precompiled", "engines_runtime_compiled", "engines_tensor_ir", "heuristic"}
	var listed []string
	p.vendor("lib/libcudnn.so.9", "cudnnGetVersion", names("libcudnn_", all[:5], ".so.9")...)
	for _, n := range all {
		v := version(n)
		if v == "" {
			continue
		}
		source := "const int cudnn_" + n + "_version = " + v + ";\n"
		if n == "graph" {
			source += "const char *const loads[] = {\"" + strings.Join(names("libcudnn_", all[5:], ".so.9"), `", "`) + "\"};\n"
		}
		p.lib("lib/libcudnn_"+n+".so.9", source, runpath("$ORIGIN")...)
		listed = append(listed, "libcudnn_"+n+".so")
	}
	p.eula(append(listed, "libcudnn.so", "cuDNN runtime files .so")...)
	p.prog("bin/app", uses("cudnnGetVersion"), append(rpath("$ORIGIN/../lib"), p.at("lib/libcudnn.so.9"))...)
}

func closureIncidents() []incident {
	const cudnn910, cudnn914 = "9 << 16 | 10 << 8 | 2", "9 << 16 | 14 << 8 | 0"
	nvrtc := func(p *tree) {
		p.vendor("lib/libnvrtc.so.13", "nvrtcVersion", "libnvrtc-builtins.so.13.0")
		p.eula("libnvrtc.so", "libnvrtc-builtins.so")
		p.prog("bin/app", uses("nvrtcVersion"), append(rpath("$ORIGIN/../lib"), p.at("lib/libnvrtc.so.13"))...)
	}
	builtins := func(p *tree) { p.vendor("lib/libnvrtc-builtins.so.13.0", "builtins") }
	chain := func(flags ...string) func(*tree) {
		return func(p *tree) {
			p.lib("lib/libb.so", "const char *b(int i) { return \"b\" + i; }\n")
			p.lib("lib/liba.so", "const char *b(int); const char *a(int i) { return b(i); }\n", p.at("lib/libb.so"))
			p.prog("bin/app", uses("a"), append(flags, p.at("lib/liba.so"))...)
		}
	}
	return []incident{
		{number: 2, name: "NVRTC without its builtins", cases: []ruleCase{
			{
				name: "absent", rules: []string{"loaded-by-name"}, says: `libnvrtc-builtins\.so\.13\.0`,
				common: nvrtc, mended: builtins,
			},
			{
				name: "of another minor version", rules: []string{"loaded-by-name"}, says: `libnvrtc-builtins\.so\.13\.0`,
				common: nvrtc, mended: builtins, broken: func(p *tree) { p.vendor("lib/libnvrtc-builtins.so.13.1", "builtins") },
			},
		}},
		{number: 3, name: "cuDNN incomplete or mixed", cases: []ruleCase{
			{
				name: "a sub-library absent", rules: []string{"loaded-by-name"}, says: `libcudnn_cnn\.so\.9`,
				broken: func(p *tree) {
					cudnn(p, func(n string) string { return map[bool]string{false: cudnn910}[n == "cnn"] })
				},
				mended: func(p *tree) { cudnn(p, func(string) string { return cudnn910 }) },
			},
			{
				name: "a sub-library's sub-library absent", rules: []string{"loaded-by-name"}, says: `libcudnn_engines_precompiled\.so\.9`,
				broken: func(p *tree) {
					cudnn(p, func(n string) string { return map[bool]string{false: cudnn910}[n == "engines_precompiled"] })
				},
				mended: func(p *tree) { cudnn(p, func(string) string { return cudnn910 }) },
			},
			{
				name: "two versions", rules: []string{"library-family"}, says: `9\.14\.0`,
				broken: func(p *tree) {
					cudnn(p, func(n string) string { return map[bool]string{false: cudnn910, true: cudnn914}[n == "ops"] })
				},
				mended: func(p *tree) { cudnn(p, func(string) string { return cudnn910 }) },
			},
		}},
		{number: 4, name: "the driver's libcuda bundled", cases: []ruleCase{
			driverCase("under its own name", "lib/libcuda.so.1"),
			driverCase("under a name that auditwheel gave it", "lib/libcuda-1f2e3d4c.so.1"),
			driverCase("the toolkit's stub of it", "lib/stubs/libcuda.so"),
		}},
		{number: 14, name: "RUNPATH taken for inherited", cases: []ruleCase{{
			name: "a library of a library", rules: []string{"closure"}, says: `(?s)libb\.so.*looks in`,
			broken: chain(runpath("$ORIGIN/../lib")...), mended: chain(rpath("$ORIGIN/../lib")...),
		}}, also: []check{{"as ld.so does it", func(t *testing.T) {
			// The truth about both packages: one does not start.
			broken, mended := newTree(t), newTree(t)
			chain(runpath("$ORIGIN/../lib")...)(broken)
			chain(rpath("$ORIGIN/../lib")...)(mended)
			if out, err := execute(t, broken.at("bin/app")); err == nil {
				t.Errorf("the broken program starts and says %q", out)
			}
			if out, err := execute(t, mended.at("bin/app")); err != nil || out != "b\n" {
				t.Errorf("the mended program says %q, %v", out, err)
			}
		}}}},
	}
}

// driverCase is a package with a file that stands for the driver's libcuda.
func driverCase(name, path string) ruleCase {
	return ruleCase{
		name: name, rules: []string{"driver-library"}, says: `(?i)libcuda`,
		common: func(p *tree) { p.prog("bin/app", hello) },
		broken: func(p *tree) {
			p.cc(path, "int cuInit(unsigned flags) { return flags != 0; }\n", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1")
		},
	}
}

func names(before string, list []string, after string) []string {
	var out []string
	for _, n := range list {
		out = append(out, before+n+after)
	}
	return out
}
