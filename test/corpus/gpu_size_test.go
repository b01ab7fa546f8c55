package corpus

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/relmat/relmat/internal/fatbin"
)

// sizes compares the images' sizes with those of the files that cuobjdump
// makes of the containers, and their compression with how the payload begins.
func (c *check) sizes(cuobjdump string, f io.ReaderAt, cut string, containers int, images []fatbin.Image) {
	c.t.Helper()
	var ours, theirs []string
	for _, i := range images {
		if i.Kind == fatbin.LTOIR {
			continue // often obfuscated, so that its first bytes tell nothing
		}
		ours = append(ours, fmt.Sprintf("%#x %s", i.Offset, i.Compression))
		theirs = append(theirs, fmt.Sprintf("%#x %s", i.Offset, c.payload(f, i)))
	}
	c.list("the payload", "compression of images", ours, theirs)
	info, err := os.Stat(cut)
	if err != nil {
		c.failf("%v", err)
		return
	}
	if containers == 0 || info.Size() > extractLimit {
		return
	}
	object, err := wrap(cut)
	if err != nil {
		c.failf("%v", err)
		return
	}
	defer os.Remove(object)
	dir := c.t.TempDir()
	defer os.RemoveAll(dir)
	cmd := exec.Command(cuobjdump, "-all", "-xelf", "all", "-xptx", "all", object)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if strings.Contains(string(out), "Invalid ELF in") {
		return // see wrapped
	}
	if err != nil {
		c.failf("%v: %v\n%s", cmd.Args, err, tail(string(out)))
		return
	}
	ours, theirs = nil, nil
	number := map[fatbin.Kind]int{}
	for _, i := range images {
		if i.Kind == fatbin.LTOIR {
			continue // cuobjdump does not extract it
		}
		number[i.Kind]++
		// cuobjdump leaves the f away here.
		names, err := filepath.Glob(filepath.Join(dir, fmt.Sprintf("cut.%d.sm_%d*.%s", number[i.Kind], i.SM, i.Kind)))
		if err != nil || len(names) != 1 {
			c.failf("image %d of kind %s is extracted as %q", number[i.Kind], i.Kind, names)
			return
		}
		info, err := os.Stat(names[0])
		if err != nil {
			c.failf("%v", err)
			return
		}
		want := info.Size()
		if i.Kind == fatbin.PTX && i.Size > want && i.Size <= want+8 {
			want = i.Size // a text ends in zeros, which cuobjdump drops
		}
		line := fmt.Sprintf("%s %d has ", i.Kind, number[i.Kind])
		ours = append(ours, line+fmt.Sprint(i.Size))
		theirs = append(theirs, line+fmt.Sprint(want))
	}
	c.list("cuobjdump", "sizes of images", ours, theirs)
}

// payload tells an image's compression by the magic number of zstd (RFC 8878)
// and, where there is none, that of ELF. LZ4 blocks have no magic number.
func (c *check) payload(f io.ReaderAt, i fatbin.Image) fatbin.Compression {
	c.t.Helper()
	var b [8]byte
	_, err := f.ReadAt(b[:], i.Offset)
	if err == nil {
		_, err = f.ReadAt(b[:], i.Offset+int64(binary.LittleEndian.Uint32(b[4:])))
	}
	if err != nil {
		c.failf("image at %#x: %v", i.Offset, err)
		return ""
	}
	switch magic := binary.BigEndian.Uint32(b[:]); {
	case magic == 0x28b52ffd:
		return fatbin.Zstd
	case magic == 0x7f454c46, i.Kind == fatbin.PTX && i.Stored == i.Size:
		return fatbin.None
	}
	return fatbin.LZ4
}
