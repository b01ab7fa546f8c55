package fsx_test

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/relmat/relmat/internal/fsx"
)

func TestTempSpace(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	_, err = full.WriteString("x")
	got := fsx.TempSpace(fmt.Errorf("unpacking it: %w", err))
	wantError(t, got, "unpacking it: ", "no space left", os.TempDir(), "TMPDIR")
	if !errors.Is(got, err) {
		t.Error("the error is not in it")
	}
	if other := errors.New("other"); fsx.TempSpace(other) != other || fsx.TempSpace(nil) != nil {
		t.Error("an error of something else is changed")
	}
}
