package toolchain

import "strings"

// DelayLoadVariable tells the build of a Windows target which libraries its
// programs must load with delay, and where the package has them: entries
// NAME=DIR joined by semicolons, DIR relative to the directory of the programs,
// with slashes, "." for that directory itself. A build script makes of it the
// linker's /DELAYLOAD and the table of the hook that finds the libraries
// (Microsoft, "Linker support for delay-loaded DLLs").
const DelayLoadVariable = "RELMAT_DELAY_LOAD"

// DelayLoad is a library that programs load with delay.
type DelayLoad struct {
	// Name is its file name, Dir its directory relative to the programs', with
	// slashes.
	Name, Dir string
}

// encodeDelayLoad is the value of DelayLoadVariable.
func encodeDelayLoad(list []DelayLoad) string {
	entries := make([]string, len(list))
	for i, d := range list {
		entries[i] = d.Name + "=" + d.Dir
	}
	return strings.Join(entries, ";")
}
