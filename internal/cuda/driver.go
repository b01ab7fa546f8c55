package cuda

import (
	_ "embed"
	"encoding/json"
	"strings"
)

//go:embed drivers.json
var driversJSON []byte

var drivers = mustDrivers(driversJSON)

type driverTable struct {
	// Minimum is the oldest driver by the toolkit's major version and the
	// operating system, Toolkit the driver that came with a release.
	Minimum map[string]map[string]string `json:"minimum"`
	Toolkit map[string]map[string]string `json:"toolkit"`
}

func mustDrivers(data []byte) driverTable {
	var t driverTable
	if err := json.Unmarshal(data, &t); err != nil {
		panic("cuda: drivers.json: " + err.Error())
	}
	return t
}

// MinimumDriver is the oldest driver on which programs of a CUDA release, as
// major.minor, run under an operating system: linux or windows. It is that of
// the release's major version ("Minor Version Compatibility", CUDA
// Compatibility).
func MinimumDriver(release, system string) (version string, ok bool) {
	major, _, _ := strings.Cut(release, ".")
	version, ok = drivers.Minimum[major][system]
	return version, ok
}

// ToolkitDriver is the driver that came with a CUDA release. Older ones run its
// machine code, but cannot be trusted to compile its PTX.
func ToolkitDriver(release, system string) (version string, ok bool) {
	version, ok = drivers.Toolkit[release][system]
	return version, ok
}
