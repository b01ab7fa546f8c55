//go:build unix

package fsx

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestReadFileOfAPipe(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(pipe)
	if err != nil || Kind(info.Mode()) != "a named pipe" {
		t.Errorf("it is %s, %v", Kind(info.Mode()), err)
	}
	written := make(chan error, 1)
	go func() { written <- os.WriteFile(pipe, []byte("text"), 0) }()
	if data, err := ReadFile(t.Context(), pipe); string(data) != "text" || err != nil {
		t.Errorf("it gives %q, %v", data, err)
	}
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	// Nobody writes any more.
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	go cancel(why)
	if _, err := ReadFile(ctx, pipe); !errors.Is(err, why) {
		t.Errorf("the error is %v", err)
	}
}
