package fsx

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"golang.org/x/sys/windows"
)

// patience is how long a file that another program has open is waited for. A
// virus scanner looks at a new program for some tenths of a second; what is
// open for longer is held by somebody who must be told. A variable, so that
// tests need not wait for it.
var patience = 5 * time.Second

// Rename is os.Rename that takes the place of a read-only file too, as it does
// on Unix, and tries again while another program has one of the two open.
func Rename(from, to string) error {
	return retry(inUse, func() error {
		err := os.Rename(from, to)
		if errors.Is(err, windows.ERROR_ACCESS_DENIED) && writable(to) {
			err = os.Rename(from, to)
		}
		return err
	})
}

// Remove is os.Remove that tries again while another program has the file open.
func Remove(path string) error { return retry(inUse, func() error { return os.Remove(path) }) }

// RemoveAll is os.RemoveAll that tries again while another program has
// something below path open.
func RemoveAll(path string) error {
	again := func(err error) bool {
		// A deleted file is there until its last handle goes.
		return inUse(err) || errors.Is(err, windows.ERROR_DIR_NOT_EMPTY)
	}
	return retry(again, func() error { return os.RemoveAll(path) })
}

// writable takes the read-only attribute from a file, and tells whether there
// was one.
func writable(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o200 == 0 && os.Chmod(path, 0o666) == nil
}

// retry calls do until it succeeds, fails for good, or patience has run out.
func retry(again func(error) bool, do func() error) error {
	start := time.Now()
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 250*time.Millisecond) {
		err := do()
		if err == nil || !again(err) {
			return err
		}
		if time.Since(start) > patience {
			return fmt.Errorf("%w (for %.0f s; where rights are not the cause, another program has it open: a virus scanner, a terminal in that directory, a program that runs from it)",
				err, time.Since(start).Seconds())
		}
		time.Sleep(pause + rand.N(pause))
	}
}

// inUse tells whether the error is one that Windows gives while somebody has
// the file open. Access is denied also for other reasons, which cannot be told
// from it.
func inUse(err error) bool {
	for _, e := range []error{
		windows.ERROR_SHARING_VIOLATION, windows.ERROR_ACCESS_DENIED, windows.ERROR_LOCK_VIOLATION,
		windows.ERROR_USER_MAPPED_FILE, windows.ERROR_DELETE_PENDING,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
