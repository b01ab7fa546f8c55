package smoke

import (
	"context"
	"os"
	"runtime"
	"strings"

	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/proc"
)

// DetectDevice finds out what this host has. Without nvidia-smi, which comes
// with the driver, there is no usable GPU.
func DetectDevice(ctx context.Context) manifest.Device {
	d := manifest.Device{CPU: cpuName()}
	if e, ok := findEmulator(ctx); ok {
		d.Emulator = e.String()
	}
	out, err := proc.Cmd{
		Path: "nvidia-smi", Args: []string{"--query-gpu=name,driver_version,compute_cap", "--format=csv,noheader"}, Env: os.Environ(),
	}.Output(ctx)
	if err != nil {
		return d
	}
	for line := range strings.Lines(out) {
		if line = strings.TrimSpace(line); line != "" {
			d.GPUs = append(d.GPUs, line)
		}
	}
	return d
}

func cpuName() string {
	data, err := os.ReadFile("/proc/cpuinfo")
	if err == nil {
		for line := range strings.Lines(string(data)) {
			if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
				return strings.TrimSpace(v)
			}
		}
	}
	return runtime.GOARCH
}
