package incidents

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
)

// image is one entry of a fat binary: machine code for an architecture, or PTX
// of a version.
type image struct {
	sm     uint32
	suffix byte
	// ptx is the version of PTX as {major, minor}, zero for machine code.
	ptx [2]uint16
}

func sm(n uint32) image                       { return image{sm: n} }
func sma(n uint32) image                      { return image{sm: n, suffix: 'a'} }
func ptx(n uint32, major, minor uint16) image { return image{sm: n, ptx: [2]uint16{major, minor}} }

// fatbin lays out a container as nvcc does (docs/fatbin.md): a header of 16
// bytes, then entries of a header of 64 bytes and their code.
func fatbin(images ...image) []byte {
	le := binary.LittleEndian
	var body []byte
	for _, i := range images {
		payload := bytes.Repeat([]byte{0xed}, 40)
		h := make([]byte, 64)
		kind, flags := uint16(2), uint64(0x11)
		le.PutUint16(h[0x1a:], 1)
		le.PutUint16(h[0x18:], 8)
		if i.ptx != [2]uint16{} {
			kind = 1
			le.PutUint16(h[0x1a:], i.ptx[0])
			le.PutUint16(h[0x18:], i.ptx[1])
		}
		if i.suffix == 'a' {
			flags |= 1 << 20
		}
		le.PutUint16(h, kind)
		le.PutUint16(h[2:], 0x0101)
		le.PutUint32(h[4:], 64)
		le.PutUint64(h[8:], uint64(len(payload)))
		le.PutUint32(h[0x1c:], i.sm)
		le.PutUint64(h[0x28:], flags)
		body = append(append(body, h...), payload...)
	}
	out := le.AppendUint32(nil, 0xba55ed50)
	out = le.AppendUint16(out, 1)
	out = le.AppendUint16(out, 16)
	return append(le.AppendUint64(out, uint64(len(body))), body...)
}

// gpuProgram is a program whose object file has a fat binary where nvcc puts
// it.
func gpuProgram(images ...image) func(*tree) {
	return func(p *tree) {
		var code strings.Builder
		code.WriteString("__attribute__((section(\".nv_fatbin\"), aligned(8), used)) static const unsigned char fat[] = {")
		for _, b := range fatbin(images...) {
			fmt.Fprintf(&code, "%d,", b)
		}
		code.WriteString("};\n")
		p.prog("bin/app", code.String()+hello)
	}
}

func gpuIncidents() []incident {
	const ninety = `cuda: {env: CUDA_ARCHS, architectures: "80;90a", gates: ["90a"]}`
	return []incident{
		{number: 10, name: "a kernel family compiled out", cases: []ruleCase{{
			name: "no sm_121a image", rules: []string{"coverage"}, says: `sm_121a.*cuda\.require\.images`,
			target: `cuda: {require: {images: [sm_121a]}}`,
			broken: gpuProgram(sm(120), sm(121), ptx(121, 9, 0)),
			mended: gpuProgram(sm(120), sm(121), sma(121), ptx(121, 9, 0)),
		}}},
		{number: 11, name: "a CPU build shipped as the CUDA asset", cases: []ruleCase{{
			name: "no GPU code at all", rules: []string{"coverage"}, says: `no file of the build holds GPU code`,
			target: `cuda: {env: CUDA_ARCHS, architectures: "80;90"}`,
			broken: func(p *tree) { p.prog("bin/app", hello) },
			mended: gpuProgram(sm(80), ptx(80, 9, 0), sm(90), ptx(90, 9, 0)),
		}}},
		{number: 19, name: "Hopper as 90 in place of 90a", cases: []ruleCase{
			{
				name: "the matrix says 90a", rules: []string{"coverage"}, says: `(?s)sm_90a.*sm_90 is there, which is other code`,
				target: ninety,
				broken: gpuProgram(sm(80), ptx(80, 9, 0), sm(90), ptx(90, 9, 0)),
				mended: gpuProgram(sm(80), ptx(80, 9, 0), sma(90), image{sm: 90, suffix: 'a', ptx: [2]uint16{9, 0}}),
			},
			{
				name: "the sources have a gate for 90a", rules: []string{"coverage"}, says: `sm_90 is there without sm_90a`,
				target: `cuda: {gates: ["90a"], require: {native: ["8.0"]}}`,
				broken: gpuProgram(sm(80), sm(90)),
				mended: gpuProgram(sm(80), sma(90)),
			},
		}},
		{number: 20, name: "-arch=native on a host without a GPU", cases: []ruleCase{
			{
				name: "sm_75 alone", rules: []string{"coverage"}, says: `sm_75 alone`,
				target: `cuda: {require: {jit: ["9.0"]}}`,
				broken: gpuProgram(sm(75), ptx(75, 9, 0)),
				mended: gpuProgram(sm(80), sm(90), ptx(90, 9, 0)),
			},
			{
				name: "not what the matrix asks for", rules: []string{"coverage"}, says: `no image is for sm_90`,
				target: `cuda: {env: CUDA_ARCHS, architectures: "80-real;90"}`,
				broken: gpuProgram(sm(75), ptx(75, 9, 0)),
				mended: gpuProgram(sm(80), sm(90), ptx(90, 9, 0)),
			},
		}},
		{number: 21, name: "PTX newer than the promised driver compiles", cases: []ruleCase{{
			name: "PTX of CUDA 13 for a driver of CUDA 12.4", rules: []string{"floor"}, says: `PTX 9\.0, which drivers before 580`,
			target: `floors: {driver: "550.54.14"}`,
			broken: gpuProgram(sm(80), ptx(90, 9, 0)),
			mended: gpuProgram(sm(80), ptx(90, 8, 4)),
		}}},
	}
}
