package fsx_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/relmat/relmat/internal/fsx"
)

func lockPath(t *testing.T) string { return filepath.Join(t.TempDir(), "sub", "lock") }

func TestLockFree(t *testing.T) {
	path := lockPath(t)
	for range 3 { // the file that stays behind is no lock
		unlock, err := fsx.Lock(t.Context(), path, func() { t.Error("waits for nobody") })
		if err != nil {
			t.Fatal(err)
		}
		unlock()
	}
}

// waitFor takes the lock in the background and reports that it waits.
func waitFor(ctx context.Context, path string) (waiting chan struct{}, done chan error) {
	waiting, done = make(chan struct{}, 2), make(chan error, 1)
	go func() {
		unlock, err := fsx.Lock(ctx, path, func() { waiting <- struct{}{} })
		if err == nil {
			unlock()
		}
		done <- err
	}()
	return waiting, done
}

func TestLockWaitsForAnotherProcess(t *testing.T) {
	for name, end := range map[string]func(child, *testing.T){
		"that unlocks":   child.finish,
		"that is killed": child.kill,
	} {
		t.Run(name, func(t *testing.T) {
			path := lockPath(t)
			other := startChild(t, "lock", path)
			waiting, done := waitFor(t.Context(), path)
			select {
			case <-waiting:
			case err := <-done:
				t.Fatalf("did not wait: %v", err)
			}
			select {
			case err := <-done:
				t.Fatalf("two hold the lock: %v", err)
			case <-time.After(300 * time.Millisecond): // more than one attempt
			}
			end(other, t)
			select {
			case err := <-done:
				if err != nil {
					t.Fatal(err)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("still waits though the other process is gone")
			}
			if len(waiting) != 0 {
				t.Error("said more than once that it waits")
			}
		})
	}
}

func TestLockCancelled(t *testing.T) {
	path := lockPath(t)
	unlock, err := fsx.Lock(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	waiting, done := waitFor(ctx, path)
	<-waiting
	cancel()
	err = <-done
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	wantError(t, err, "lock", path)
	unlock()
	// The one that gave up must not have kept anything.
	again, err := fsx.Lock(t.Context(), path, func() { t.Error("somebody holds the lock") })
	if err != nil {
		t.Fatal(err)
	}
	again()
}

func TestLockImpossible(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, "")
	if _, err := fsx.Lock(t.Context(), filepath.Join(file, "lock"), nil); err == nil {
		t.Error("no error below a file")
	}
}
