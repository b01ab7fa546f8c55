//go:build unix

package cli_test

import "github.com/relmat/relmat/internal/matrix"

// scripts is the directory with the scripts for this system.
const scripts = "script"

// standIns play the tools that are not here.
var standIns map[string]func()

var hostTriple = matrix.Host().Arch + "-unknown-linux-gnu"

// noGPU is an nvidia-smi that finds nothing.
var noGPU = struct{ name, text string }{"nvidia-smi", "#!/bin/sh\nexit 9\n"}
