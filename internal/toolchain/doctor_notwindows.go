//go:build !windows

package toolchain

import "errors"

func longPathsEnabled() (bool, error) { return false, errors.New("this is not Windows") }

func defender() Check { return Check{Name: "Defender", State: StateNote, Found: "unknown"} }
