//go:build !windows

package fsx

import "os"

// Rename is os.Rename; on Windows it waits for other programs.
func Rename(from, to string) error { return os.Rename(from, to) }

// Remove is os.Remove; on Windows it waits for other programs.
func Remove(path string) error { return os.Remove(path) }

// RemoveAll is os.RemoveAll; on Windows it waits for other programs.
func RemoveAll(path string) error { return os.RemoveAll(path) }
