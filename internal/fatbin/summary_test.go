package fatbin

import (
	"reflect"
	"slices"
	"testing"

	"github.com/relmat/relmat/internal/cuda"
)

func TestSummarize(t *testing.T) {
	images := []Image{
		{Kind: LTOIR, SM: 75, Compression: LZ4, Stored: 1, Size: 2},
		{Kind: PTX, SM: 90, PTXISA: "8.10", Compression: Zstd, Stored: 1, Size: 2},
		{Kind: PTX, SM: 90, PTXISA: "8.9", Compression: Zstd, Stored: 1, Size: 2},
		{Kind: Cubin, SM: 100, Suffix: "f", Compression: Zstd, Stored: 10, Size: 20},
		{Kind: Cubin, SM: 90, Suffix: "a", Compression: None, Stored: 10, Size: 10},
		{Kind: "0x0040", SM: 80, Compression: None, Stored: 3, Size: 3},
		{Kind: Cubin, SM: 90, Compression: Zstd, Stored: 5, Size: 50, Debug: true},
		{Kind: Cubin, SM: 90, Compression: LZ4, Stored: 5, Size: 50},
		{Kind: Cubin, SM: 90, Compression: Zstd, Stored: 6, Size: 60, Section: ".data", Offset: 7},
	}
	want := []Group{
		{Kind: Cubin, SM: 90, Compression: LZ4, Count: 1, Stored: 5, Size: 50},
		{Kind: Cubin, SM: 90, Compression: Zstd, Count: 2, Debug: 1, Stored: 11, Size: 110},
		{Kind: Cubin, SM: 90, Suffix: "a", Compression: None, Count: 1, Stored: 10, Size: 10},
		{Kind: Cubin, SM: 100, Suffix: "f", Compression: Zstd, Count: 1, Stored: 10, Size: 20},
		{Kind: PTX, SM: 90, PTXISA: "8.9", Compression: Zstd, Count: 1, Stored: 1, Size: 2},
		{Kind: PTX, SM: 90, PTXISA: "8.10", Compression: Zstd, Count: 1, Stored: 1, Size: 2},
		{Kind: LTOIR, SM: 75, Compression: LZ4, Count: 1, Stored: 1, Size: 2},
		{Kind: "0x0040", SM: 80, Compression: None, Count: 1, Stored: 3, Size: 3},
	}
	for range 2 {
		if got := Summarize(images); !reflect.DeepEqual(got, want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
		slices.Reverse(images)
	}
	if got := Summarize(nil); len(got) != 0 {
		t.Error(got)
	}
}

func TestCodes(t *testing.T) {
	got := Codes([]Image{
		{Kind: PTX, SM: 90, PTXISA: "8.0", Section: ".nv_fatbin"},
		{Kind: Cubin, SM: 90, Suffix: "a", Section: ".cask_resource"},
		{Kind: Cubin, SM: 90, Suffix: "a", Section: ".data"},
		{Kind: LTOIR, SM: 75},
		{Kind: "0x0040", SM: 80},
		{Kind: Cubin, SM: 86, Section: "__nv_relfatbin"},
		{Kind: PTX, SM: 86, PTXISA: "9.0", Section: "__nv_rel"},
	})
	want := []cuda.Code{{Kind: cuda.PTX, SM: 90, PTXISA: "8.0"}, {Kind: cuda.Cubin, SM: 90, Suffix: "a"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}
