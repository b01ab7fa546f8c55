package incidents

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"strings"
	"testing"
)

func vendorIncidents() []incident {
	known := func(p *tree) func(string) (string, bool) { return wheelOf(p.known...) }
	// cublas is a package whose list says that two files are of a wheel.
	cublas := func(change func(p *tree, lib []byte) []byte) func(*tree) {
		return func(p *tree) {
			p.prog("bin/app", hello)
			p.vendor("lib/libcublas.so.13", "cublasGetVersion", "of the wheel")
			p.eula("libcublas.so")
			p.known = append(p.known, p.read("lib/libcublas.so.13"), p.read("licenses/nvidia/License.txt"))
			if change != nil {
				p.put("lib/libcublas.so.13", change(p, p.read("lib/libcublas.so.13")), 0o644)
			}
			p.list(map[string]string{"app": "bin/app"}, map[string]string{
				"lib/libcublas.so.13": "nvidia-cublas 13.1.0.3", "licenses/nvidia/License.txt": "nvidia-cublas 13.1.0.3",
			})
		}
	}
	// unlisted is one without a list: only what the tool leaves behind tells.
	unlisted := func(change func(p *tree, lib []byte) []byte) func(*tree) {
		return func(p *tree) {
			cublas(change)(p)
			p.remove("manifest.json")
		}
	}
	const identity = "vendor-identity"
	return []incident{
		{number: 23, name: "an NVIDIA library patched", cases: []ruleCase{
			{
				name: "stripped, told by the wheel's list", rules: []string{identity}, says: `no wheel of the toolkit has a file of this content`,
				vendor: known, mended: cublas(nil), broken: cublas(func(p *tree, _ []byte) []byte {
					run(p.t, p.dir, "objcopy", "--remove-section=.comment", "lib/libcublas.so.13")
					return p.read("lib/libcublas.so.13")
				}),
			},
			{
				name: "SONAME changed in place, told by the wheel's list", rules: []string{identity}, says: `no wheel of the toolkit has a file of this content`,
				vendor: known, mended: cublas(nil), broken: cublas(func(_ *tree, lib []byte) []byte {
					return bytes.Replace(lib, []byte("libcublas.so.13\x00"), []byte("libcublas.so.12\x00"), 1)
				}),
			},
			{
				name: "RPATH set, without a list", rules: []string{identity}, says: `run path.*/opt/app/lib`,
				mended: unlisted(nil), broken: func(p *tree) {
					unlisted(nil)(p)
					p.put("lib/libcublas.so.13", patched(p.t, p.read("lib/libcublas.so.13"), "/opt/app/lib"), 0o644)
				},
			},
			{
				name: "RPATH set to $ORIGIN, without a list", rules: []string{identity}, says: `patchelf`,
				severity: map[string]string{identity: "error"},
				mended:   unlisted(nil), broken: func(p *tree) {
					unlisted(nil)(p)
					p.put("lib/libcublas.so.13", patched(p.t, p.read("lib/libcublas.so.13"), "$ORIGIN/../../nvidia/lib"), 0o644)
				},
			},
		}, also: []check{{"the patched library still loads", func(t *testing.T) {
			// So the tests above judge what patchelf really leaves, not a wreck.
			p := newTree(t)
			p.vendor("lib/libcublas.so.13", "cublasGetVersion", "of the wheel")
			p.put("lib/libcublas.so.13", patched(t, p.read("lib/libcublas.so.13"), "/opt/app/lib"), 0o644)
			p.prog("bin/app", uses("cublasGetVersion"), append(rpath("$ORIGIN/../lib"), p.at("lib/libcublas.so.13"))...)
			if out, err := execute(t, p.at("bin/app")); err != nil || out != "of the wheel\n" {
				t.Errorf("the program says %q, %v", out, err)
			}
			if out := run(t, p.dir, "readelf", "-dW", "lib/libcublas.so.13"); !strings.Contains(out, "[/opt/app/lib]") || !strings.Contains(out, "[libcublas.so.13]") {
				t.Errorf("readelf sees\n%s", out)
			}
		}}}},
	}
}

// patched sets the run path of a library as patchelf does: the new string does
// not fit where the old one was, so the table of strings is written anew behind
// everything, in a segment of its own.
func patched(t *testing.T, lib []byte, runPath string) []byte {
	t.Helper()
	f, err := elf.NewFile(bytes.NewReader(lib))
	if err != nil {
		t.Fatal(err)
	}
	le := binary.LittleEndian
	out := bytes.Clone(lib)
	for len(out)%0x1000 != 0 {
		out = append(out, 0)
	}
	offset, addr := uint64(len(out)), uint64(0)
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD {
			addr = max(addr, (p.Vaddr+p.Memsz+0xfff)&^0xfff)
		}
	}
	old, err := f.Section(".dynstr").Data()
	if err != nil {
		t.Fatal(err)
	}
	table := append(append(bytes.Clone(old), runPath...), 0)
	out = append(out, table...)
	size := uint64(len(table))

	// The program header that nothing needs becomes the one of the segment.
	phoff, shoff := le.Uint64(out[32:]), le.Uint64(out[40:])
	done := false
	for i, p := range f.Progs {
		h := out[phoff+uint64(i)*56:]
		if p.Type == elf.PT_NOTE && !done {
			done = true
			le.PutUint32(h, uint32(elf.PT_LOAD))
			le.PutUint32(h[4:], uint32(elf.PF_R))
			for j, v := range []uint64{offset, addr, addr, size, size, 0x1000} {
				le.PutUint64(h[8+8*j:], v)
			}
		}
	}
	if !done {
		t.Fatal("the library has no program header PT_NOTE to spare")
	}
	for i, s := range f.Sections {
		if s.Name == ".dynstr" {
			h := out[shoff+uint64(i)*64:]
			le.PutUint64(h[16:], addr)
			le.PutUint64(h[24:], offset)
			le.PutUint64(h[32:], size)
		}
	}
	dynamic := f.Section(".dynamic")
	for at := dynamic.Offset; at < dynamic.Offset+dynamic.Size; at += 16 {
		switch elf.DynTag(le.Uint64(out[at:])) {
		case elf.DT_STRTAB:
			le.PutUint64(out[at+8:], addr)
		case elf.DT_STRSZ:
			le.PutUint64(out[at+8:], size)
		case elf.DT_RUNPATH, elf.DT_RPATH:
			le.PutUint64(out[at+8:], uint64(len(old)))
		}
	}
	return out
}
