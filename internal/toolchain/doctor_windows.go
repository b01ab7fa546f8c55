package toolchain

import (
	"errors"
	"io/fs"
	"strings"

	"golang.org/x/sys/windows/registry"
)

// longPathsEnabled reads the switch for paths of more than 260 characters
// ("Maximum Path Length Limitation", Win32 documentation).
func longPathsEnabled() (bool, error) {
	k, err := registry.OpenKey(registry.LOCAL_MACHINE, `SYSTEM\CurrentControlSet\Control\FileSystem`, registry.QUERY_VALUE)
	if err != nil {
		return false, err
	}
	defer k.Close()
	v, _, err := k.GetIntegerValue("LongPathsEnabled")
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return v == 1, err
}

// defender tells which directories Windows' virus scanner leaves alone: a build
// of many small files is much slower where it does not.
func defender() Check {
	c := Check{Name: "Defender", State: StateNote, Detail: "an exclusion of the state directory makes builds faster, as administrator: Add-MpPreference -ExclusionPath DIR"}
	k, err := registry.OpenKey(registry.LOCAL_MACHINE, `SOFTWARE\Microsoft\Windows Defender\Exclusions\Paths`, registry.QUERY_VALUE)
	if err != nil {
		c.Found = "unknown" // only administrators may look
		return c
	}
	defer k.Close()
	names, err := k.ReadValueNames(-1)
	switch {
	case err != nil:
		c.Found = "unknown"
	case len(names) == 0:
		c.Found = "no exclusions"
	default:
		c.Found, c.Detail = "exclusions", "it leaves alone: "+strings.Join(names, ", ")
	}
	return c
}
