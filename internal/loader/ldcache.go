package loader

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
)

// ldCache is glibc's /etc/ld.so.cache in its newer format (glibc,
// sysdeps/generic/dl-cache.h), also where it stands behind the older one.
type ldCache struct {
	path    string
	entries map[string][]cacheEntry
}

type cacheEntry struct {
	value string
	// hwcap is the name of the glibc-hwcaps directory, empty for none.
	hwcap string
}

const (
	cacheMagicOld = "ld.so-1.7.0"
	cacheMagic    = "glibc-ld.so.cache1.1"
	cacheHeader   = 48
	cacheEntryLen = 24
	// maxCache bounds the file; a large system's has some hundred kilobytes.
	maxCache = 32 << 20
	// cacheExtension marks the extension directory, cacheHwcap an entry whose
	// hwcap field is an index into the names of glibc-hwcaps directories.
	cacheExtension = 0xEAA42174
	cacheHwcap     = 1 << 62
	// cacheISA are bits of that field which hold an ISA level and no marks.
	cacheISA = (1<<10 - 1) << 32
)

// readCache reads the cache of the view; nil where it has none. ld.so ignores a
// damaged one.
func (s *session) readCache(p string, flags uint32) (*ldCache, error) {
	o, ok := s.view.(Opener)
	if !ok {
		return nil, nil
	}
	f, err := o.Open(p)
	if err != nil {
		return nil, nil
	}
	defer f.Close()
	if f.Size() > maxCache {
		return nil, fmt.Errorf("%s: %d bytes, more than %d", p, f.Size(), maxCache)
	}
	data := make([]byte, f.Size())
	if n, err := f.ReadAt(data, 0); err != nil && (!errors.Is(err, io.EOF) || n < len(data)) {
		return nil, fmt.Errorf("%s: %w", p, err)
	}
	entries, err := parseCache(data, flags)
	if err != nil {
		return nil, nil
	}
	return &ldCache{path: p, entries: entries}, nil
}

// parseCache reads the entries with the flags of one machine, by name. Numbers
// in names are compared by their value, as _dl_cache_libcmp does.
func parseCache(data []byte, flags uint32) (map[string][]cacheEntry, error) {
	if bytes.HasPrefix(data, []byte(cacheMagicOld)) && len(data) >= 16 {
		// The older format: 12 bytes an entry, then the newer one, aligned to 8.
		n := uint64(binary.LittleEndian.Uint32(data[12:]))
		at := (16 + 12*n + 7) &^ 7
		if at > uint64(len(data)) {
			return nil, errors.New("the older format's entries exceed the file")
		}
		data = data[at:]
	}
	if len(data) < cacheHeader || !bytes.HasPrefix(data, []byte(cacheMagic)) {
		return nil, errors.New("no ld.so.cache of glibc 2.2 or later")
	}
	le := binary.LittleEndian
	count := uint64(le.Uint32(data[20:]))
	if count > uint64(len(data)-cacheHeader)/cacheEntryLen {
		return nil, errors.New("the entries exceed the file")
	}
	// 0 is a file without the field, 2 little-endian.
	if order := data[28] & 3; order != 0 && order != 2 {
		return nil, errors.New("not little-endian")
	}
	hwcaps, err := cacheHwcaps(data)
	if err != nil {
		return nil, err
	}
	entries := map[string][]cacheEntry{}
	for i := range count {
		e := data[cacheHeader+i*cacheEntryLen:]
		if le.Uint32(e) != flags {
			continue
		}
		key, ok := cacheString(data, le.Uint32(e[4:]))
		value, ok2 := cacheString(data, le.Uint32(e[8:]))
		if !ok || !ok2 {
			continue
		}
		c := cacheEntry{value: value}
		if h := le.Uint64(e[16:]); h != 0 {
			index := h & 0xffffffff
			if h&^uint64(cacheISA|0xffffffff) != cacheHwcap || index >= uint64(len(hwcaps)) {
				continue
			}
			c.hwcap = hwcaps[index]
		}
		key = cacheKey(key)
		entries[key] = append(entries[key], c)
	}
	return entries, nil
}

// cacheHwcaps reads the names of the glibc-hwcaps directories: extension 1.
func cacheHwcaps(data []byte) ([]string, error) {
	le := binary.LittleEndian
	at := uint64(le.Uint32(data[32:]))
	size := uint64(len(data))
	if at == 0 {
		return nil, nil
	}
	if at%4 != 0 || at+8 > size || le.Uint32(data[at:]) != cacheExtension {
		return nil, errors.New("damaged extensions")
	}
	count := uint64(le.Uint32(data[at+4:]))
	if count > (size-at-8)/16 {
		return nil, errors.New("the extensions exceed the file")
	}
	var names []string
	for i := range count {
		e := data[at+8+i*16:]
		offset, length := uint64(le.Uint32(e[8:])), uint64(le.Uint32(e[12:]))
		if offset+length > size {
			return nil, errors.New("an extension exceeds the file")
		}
		if le.Uint32(e) != 1 || names != nil {
			continue
		}
		for ; length >= 4; offset, length = offset+4, length-4 {
			// A name that is none keeps its place: entries count them.
			name, _ := cacheString(data, le.Uint32(data[offset:]))
			names = append(names, name)
		}
	}
	return names, nil
}

// cacheString is the string at an offset of the file.
func cacheString(data []byte, at uint32) (string, bool) {
	if uint64(at) >= uint64(len(data)) {
		return "", false
	}
	rest := data[at:min(len(data), int(at)+maxPath)]
	n := bytes.IndexByte(rest, 0)
	if n < 0 {
		return "", false
	}
	return string(rest[:n]), true
}

// cacheKey drops the zeros before numbers, which do not count in comparisons.
func cacheKey(name string) string {
	if !strings.Contains(name, "0") {
		return name
	}
	digit := func(c byte) bool { return c >= '0' && c <= '9' }
	b := make([]byte, 0, len(name))
	for i := range len(name) {
		before := i > 0 && digit(name[i-1]) && len(b) > 0 && digit(b[len(b)-1])
		if name[i] == '0' && !before && i+1 < len(name) && digit(name[i+1]) {
			continue
		}
		b = append(b, name[i])
	}
	return string(b)
}

// lookup is the path for a name: that of the best glibc-hwcaps directory up to
// the CPU's level, else the plain one.
func (c *ldCache) lookup(name string, levels []string, cpu string) string {
	from := 0
	if cpu != "" {
		if from = slices.Index(levels, cpu); from < 0 {
			from = len(levels)
		}
	}
	best, rank := "", -1
	for _, e := range c.entries[cacheKey(name)] {
		r := len(levels)
		if e.hwcap != "" {
			if r = slices.Index(levels, e.hwcap); r < from {
				continue
			}
		}
		if rank < 0 || r < rank {
			best, rank = e.value, r
		}
	}
	return best
}

// match lists the names that a pattern fits.
func (c *ldCache) match(pattern string) []string {
	var out []string
	for name := range c.entries {
		if ok, _ := path.Match(pattern, name); ok {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}
