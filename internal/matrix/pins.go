package matrix

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// ReadPins reads the pins out of the checkout at source. It is an error when a
// place does not state its pin, or when places of a pin disagree.
func (f *File) ReadPins(source string) (map[string]string, error) {
	values := map[string]string{}
	for _, name := range f.Pins.Keys {
		var said []string
		agree := true
		for i, place := range f.Pins.Values[name].Places {
			value, line, err := place.read(source)
			if err != nil {
				return nil, fmt.Errorf("reading pin %s (%s of %s): %w", name, index("pins."+name+".places", i), f.Path, err)
			}
			if i == 0 {
				values[name] = value
			}
			agree = agree && value == values[name]
			said = append(said, fmt.Sprintf("%s:%d says %s", place.File, line, value))
		}
		if !agree {
			return nil, fmt.Errorf("pin %s: its places disagree: %s; make them equal in the checkout %s", name, strings.Join(said, ", "), source)
		}
	}
	return values, nil
}

// read returns the pin and the line on which it stands.
func (p Place) read(source string) (value string, line int, err error) {
	data, err := os.ReadFile(filepath.Join(source, filepath.FromSlash(p.File)))
	if errors.Is(err, fs.ErrNotExist) {
		return "", 0, fmt.Errorf("the checkout %s has no file %s", source, p.File)
	}
	if err != nil {
		return "", 0, err
	}
	// A checkout on Windows may end its lines otherwise, where $ does not match.
	data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	lineAt := func(offset int) int { return 1 + bytes.Count(data[:offset], []byte("\n")) }
	found := regexp.MustCompile(p.Pattern).FindAllSubmatchIndex(data, -1) // check has judged it
	if len(found) == 0 {
		return "", 0, fmt.Errorf("the pattern %s matches nothing in %s", p.Pattern, p.File)
	}
	if len(found) > 1 {
		return "", 0, fmt.Errorf("the pattern %s matches %d times in %s, first on lines %d and %d; it must match once",
			p.Pattern, len(found), p.File, lineAt(found[0][0]), lineAt(found[1][0]))
	}
	at := found[0]
	if at[2] == at[3] { // also where the group is in a branch not taken: -1
		return "", 0, fmt.Errorf("the group of the pattern %s is empty where it matches, on line %d of %s", p.Pattern, lineAt(at[0]), p.File)
	}
	return string(data[at[2]:at[3]]), lineAt(at[2]), nil
}
