package incidents

import (
	"os"
	"path/filepath"
	"strings"
)

// cccl are headers that a program needs when it compiles at run time.
func cccl(p *tree, leave ...string) {
	for _, h := range []string{"cuda/std/tuple", "cuda/std/type_traits", "cuda/std/limits", "nv/target", "cub/cub.cuh"} {
		if !strings.Contains(strings.Join(leave, " "), h) {
			p.file("include/cccl/"+h, "#pragma once\n// "+h+"\n")
		}
	}
	p.file("licenses/cccl/LICENSE", "CCCL: Apache License 2.0 with LLVM Exceptions\n")
}

func cutlass(p *tree, leave ...string) {
	for _, h := range []string{"cute/tensor.hpp", "cute/numeric/numeric_types.hpp", "cutlass/cutlass.h", "cutlass/numeric_types.h"} {
		if !strings.Contains(strings.Join(leave, " "), h) {
			p.file("include/"+h, "#pragma once\n// "+h+"\n")
		}
	}
}

func contentIncidents() []incident {
	const headers = `files: [{source: third_party/cccl, to: include/cccl, contains: [cuda/std/tuple, nv/target], min-files: 4}]`
	app := func(p *tree) { p.prog("bin/app", hello) }
	return []incident{
		{number: 6, name: "CCCL headers for run-time compilation missing", cases: []ruleCase{
			{
				name: "the directory", rules: []string{"required-content"}, says: `include/cccl`, pkg: headers,
				common: app, mended: func(p *tree) { cccl(p) },
			},
			{
				name: "a header of it", rules: []string{"required-content"}, says: `include/cccl/nv/target`, pkg: headers,
				common: app, broken: func(p *tree) { cccl(p, "nv/target") }, mended: func(p *tree) { cccl(p) },
			},
		}, also: []check{{"smoke of the archive", smokeOfHeader("include/cccl/cuda/std/tuple")}}},
		{number: 7, name: "CUTLASS headers incomplete after an upgrade", cases: []ruleCase{
			{
				name: "by what its headers need", rules: []string{"required-content"}, says: `cutlass/numeric_types\.h`,
				common: app, broken: func(p *tree) { cutlass(p, "cutlass/numeric_types.h") }, mended: func(p *tree) { cutlass(p) },
			},
			{
				name: "by the matrix's guard", rules: []string{"required-content"}, says: `holds 1 file, and the matrix wants at least 3`,
				pkg:    `files: [{out-dir: include, crate: app, to: include, min-files: 3}]`,
				common: app, broken: func(p *tree) { p.file("include/cutlass/version.h", "#pragma once\n") }, mended: func(p *tree) { cutlass(p) },
			},
		}, also: []check{{"smoke of the archive", smokeOfHeader("include/cutlass/cutlass.h")}}},
		{number: 22, name: "no licence, or none that allows it", cases: []ruleCase{
			{
				name: "the project's own", rules: []string{"license"}, says: `no licence of the project`,
				common: app, broken: func(p *tree) { p.remove("LICENSE") },
			},
			{
				name: "of the vendor's library", rules: []string{"license"}, says: `without their licence`,
				common: func(p *tree) {
					app(p)
					p.vendor("lib/libcudart.so.13", "cudaRuntimeGetVersion")
				},
				mended: func(p *tree) { p.eula("libcudart.so") },
			},
			{
				name: "a library that its licence does not list", rules: []string{"license"}, says: `(?s)libcupti.*is not in the list of what may be passed on`,
				severity: map[string]string{"license": "error"},
				common: func(p *tree) {
					app(p)
					p.vendor("lib/libcudart.so.13", "cudaRuntimeGetVersion")
					p.eula("libcudart.so")
				},
				broken: func(p *tree) { p.vendor("lib/libcupti.so.13", "cuptiGetVersion") },
			},
			{
				name: "a tool of the development kit", rules: []string{"license"}, says: `bin/ptxas.*is a tool of NVIDIA's development kit`,
				common: app, broken: func(p *tree) { p.prog("bin/ptxas", hello) },
			},
		}},
		{number: 25, name: "a chain of links stored three times", cases: []ruleCase{
			{
				name: "zip -r", rules: []string{"links"}, says: `stored 3 times`, forms: []string{"zip"},
				packer: pythonZip, common: app, broken: chainOfLinks, mended: func(p *tree) { p.lib("lib/libx.so.1", libx) },
			},
			{
				name: "tar -h", rules: []string{"links"}, says: `stored 3 times`, forms: []string{"tar.gz"},
				packer: pythonTar, common: func(p *tree) {
					app(p)
					chainOfLinks(p)
				},
				broken: func(p *tree) { p.follow = true },
			},
		}},
	}
}

const libx = "int x(void) { return 1; }\n"

// chainOfLinks installs a library as make install does.
func chainOfLinks(p *tree) {
	p.lib("lib/libx.so.1.2", libx, "-Wl,-soname,libx.so.1")
	for link, to := range map[string]string{"lib/libx.so.1": "libx.so.1.2", "lib/libx.so": "libx.so.1"} {
		if err := os.Symlink(to, p.at(link)); err != nil {
			p.t.Fatal(err)
		}
	}
}

// pythonZip packs as `zip -r` and Python's zipfile do: a link is what it leads
// to.
func pythonZip(p *tree, _ string) string {
	out := filepath.Join(filepath.Dir(p.dir), "app-here.zip")
	run(p.t, filepath.Dir(p.dir), "python3", "-c", `
import os, sys, zipfile
with zipfile.ZipFile(sys.argv[1], "w", zipfile.ZIP_DEFLATED) as z:
    for root, _, files in os.walk("app"):
        for f in files:
            z.write(os.path.join(root, f))
`, out)
	return out
}

// pythonTar packs as tar does or, with links followed, as tar -h.
func pythonTar(p *tree, _ string) string {
	out := filepath.Join(filepath.Dir(p.dir), "app-here.tar.gz")
	follow := ""
	if p.follow {
		follow = "follow"
	}
	run(p.t, filepath.Dir(p.dir), "python3", "-c", `
import os, sys, tarfile
with tarfile.open(sys.argv[1], "w:gz") as t:
    for root, _, files in os.walk("app"):
        for f in files:
            path = os.path.join(root, f)
            if sys.argv[2:] == ["follow"]:
                # tarfile's own dereference makes hard links of the copies.
                info = tarfile.TarInfo(path)
                info.mode, info.size = os.stat(path).st_mode & 0o777, os.stat(path).st_size
                t.addfile(info, open(path, "rb"))
            else:
                t.add(path)
`, out, follow)
	return out
}
