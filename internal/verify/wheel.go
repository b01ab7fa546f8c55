package verify

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/relmat/relmat/internal/matrix"
)

// wheel is what a Python wheel says of itself (Python Packaging User Guide,
// "Binary distribution format", "Core metadata specifications", "Platform
// compatibility tags").
type wheel struct {
	// info is the directory *.dist-info.
	info string
	// tag is the platform tag, such as manylinux_2_35_x86_64.
	tag      string
	platform matrix.Platform
	// glibc and macos are the floors that the tag promises.
	glibc, macos string
	// requires are the distributions that are installed with it, in normalized
	// form, and how METADATA states each.
	requires map[string]string
	// record are the lines of RECORD by path; damage is what is wrong with it.
	record map[string]recordLine
	damage error
}

type recordLine struct {
	// sha256 is in hexadecimal, empty where the line has none; size is -1.
	sha256 string
	size   int64
}

// legacy are the glibc versions of the older tags (PEP 513, 571, 599).
var legacy = map[string]string{"manylinux1": "2.5", "manylinux2010": "2.12", "manylinux2014": "2.17"}

var (
	wheelInfo   = regexp.MustCompile(`^[^/]+\.dist-info/WHEEL$`)
	manylinux   = regexp.MustCompile(`^(manylinux|musllinux)_(\d+)_(\d+)_(\w+)$`)
	oldManylin  = regexp.MustCompile(`^(manylinux1|manylinux2010|manylinux2014)_(\w+)$`)
	plainLinux  = regexp.MustCompile(`^linux_(\w+)$`)
	macosTag    = regexp.MustCompile(`^macosx_(\d+)_(\d+)_(\w+)$`)
	windowsTags = map[string]string{"win_amd64": "x86_64", "win_arm64": "aarch64", "win32": "i386"}
	distName    = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9._-]*)`)
	separators  = regexp.MustCompile(`[-_.]+`)
)

// normal is a distribution's name as the index compares it.
func normal(name string) string { return separators.ReplaceAllString(strings.ToLower(name), "-") }

func (s *subject) readWheel() {
	var info *entry
	for _, e := range s.entries {
		if wheelInfo.MatchString(e.Path) && e.data != nil {
			if info != nil {
				return // more of them: a directory in which wheels are installed
			}
			info = e
		}
	}
	if info == nil {
		return
	}
	w := &wheel{info: path.Dir(info.Path), requires: map[string]string{}}
	for _, value := range fields(info.data, "Tag") {
		parts := strings.Split(value, "-")
		for _, tag := range strings.Split(parts[len(parts)-1], ".") {
			w.platformTag(tag)
		}
	}
	if e := s.byPath[w.info+"/METADATA"]; e != nil {
		for _, value := range fields(e.data, "Requires-Dist") {
			_, marker, _ := strings.Cut(value, ";")
			if m := distName.FindString(value); m != "" && w.applies(marker) {
				spec, _, _ := strings.Cut(value, ";")
				w.requires[normal(m)] = strings.TrimSpace(spec)
			}
		}
	}
	e := s.byPath[w.info+"/RECORD"]
	switch {
	case e == nil:
		w.damage = errors.New("is missing")
	case e.data == nil:
		w.damage = errors.New("is too long to be read")
	default:
		w.record, w.damage = readRecord(e.data)
	}
	s.wheel = w
	if s.kind == "zip" {
		s.kind = "wheel"
	}
}

// markerTerm is one comparison of an environment marker.
var markerTerm = regexp.MustCompile(`^\(*\s*(\w+)\s*(==|!=)\s*["']([^"']*)["']\s*\)*$`)

// applies tells whether a requirement with the marker is installed with the
// wheel on its own platform, without extras (PyPA, "Dependency specifiers").
// Terms of which nothing is known count as true.
func (w *wheel) applies(marker string) bool {
	if strings.TrimSpace(marker) == "" {
		return true
	}
	known := map[string]string{
		"extra":           "",
		"platform_system": map[string]string{"linux": "Linux", "macos": "Darwin", "windows": "Windows"}[w.platform.OS],
		"sys_platform":    map[string]string{"linux": "linux", "macos": "darwin", "windows": "win32"}[w.platform.OS],
		"os_name":         map[string]string{"linux": "posix", "macos": "posix", "windows": "nt"}[w.platform.OS],
	}
	holds := func(term string) bool {
		m := markerTerm.FindStringSubmatch(strings.TrimSpace(term))
		if m == nil {
			return !strings.Contains(term, "extra")
		}
		value, ok := known[m[1]]
		if !ok || m[1] != "extra" && value == "" {
			return true
		}
		return (value == m[3]) == (m[2] == "==")
	}
	for _, all := range strings.Split(marker, " or ") {
		if !slices.ContainsFunc(strings.Split(all, " and "), func(term string) bool { return !holds(term) }) {
			return true
		}
	}
	return false
}

// required are the requirements whose files no table tells, as METADATA states
// them, without markers.
func (w *wheel) required() string {
	var out []string
	for dist, value := range w.requires {
		known := slices.ContainsFunc(vendorData.Libraries, func(f vendorFile) bool { return slices.Contains(f.Dists, dist) })
		if !known {
			out = append(out, text(value))
		}
	}
	slices.Sort(out)
	if len(out) > 4 {
		out = append(out[:4], fmt.Sprintf("and %d more", len(out)-4))
	}
	return strings.Join(out, ", ")
}

// platformTag takes what a tag promises; of several, the lowest floor counts.
func (w *wheel) platformTag(tag string) {
	p, glibc, macos := matrix.Platform{OS: "linux"}, "", ""
	if m := manylinux.FindStringSubmatch(tag); m != nil {
		p.Arch = m[4]
		if m[1] == "manylinux" {
			glibc = m[2] + "." + m[3]
		}
	} else if m := oldManylin.FindStringSubmatch(tag); m != nil {
		p.Arch, glibc = m[2], legacy[m[1]]
	} else if m := plainLinux.FindStringSubmatch(tag); m != nil {
		p.Arch = m[1]
	} else if m := macosTag.FindStringSubmatch(tag); m != nil {
		p.OS, p.Arch, macos = "macos", m[3], m[1]+"."+m[2]
	} else if arch := windowsTags[tag]; arch != "" {
		p = matrix.Platform{OS: "windows", Arch: arch}
	} else {
		return
	}
	switch p.Arch {
	case "arm64":
		p.Arch = "aarch64"
	case "amd64":
		p.Arch = "x86_64"
	}
	if w.tag == "" {
		w.tag, w.platform, w.glibc, w.macos = tag, p, glibc, macos
		return
	}
	if p == w.platform && glibc != "" && newer(w.glibc, glibc) {
		w.tag, w.glibc = tag, glibc
	}
}

// fields are the values of a key in the head of a text like an e-mail's.
func fields(data []byte, key string) []string {
	var out []string
	sc := bufio.NewScanner(bytes.NewReader(data))
	sc.Buffer(nil, maxText)
	for sc.Scan() {
		line := strings.TrimRight(sc.Text(), "\r")
		if line == "" {
			break
		}
		if k, v, ok := strings.Cut(line, ":"); ok && strings.EqualFold(k, key) {
			out = append(out, strings.TrimSpace(v))
		}
	}
	return out
}

func readRecord(data []byte) (map[string]recordLine, error) {
	out := map[string]recordLine{}
	r := csv.NewReader(bytes.NewReader(data))
	r.FieldsPerRecord = 3
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		line := recordLine{size: -1}
		if hash, ok := strings.CutPrefix(row[1], "sha256="); ok {
			sum, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(hash, "="))
			if err != nil {
				return out, err
			}
			line.sha256 = hex.EncodeToString(sum)
		}
		if n, err := strconv.ParseInt(row[2], 10, 64); err == nil {
			line.size = n
		}
		out[row[0]] = line
	}
}
