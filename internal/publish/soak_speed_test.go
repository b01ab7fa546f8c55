//go:build soak && unix

package publish_test

import (
	"fmt"
	"testing"
)

// TestGHUploadsNoFaster: relmat takes no longer than gh to send 1.5 GB whose
// digest it remembers, and less than 64 MiB of memory. A tenth is left for what
// else the machine does.
func TestGHUploadsNoFaster(t *testing.T) {
	of := race(t, 9)
	gh, relmat, hashing := of["gh"], of["relmat"], of["relmat, hashing"]
	t.Logf("relmat against gh: %s", ratio(relmat, gh))
	t.Logf("relmat that hashes what it sends: %s", ratio(hashing, gh))
	if relmat.wall() > gh.wall()*11/10 {
		t.Errorf("relmat took %s, gh %s", relmat.wall(), gh.wall())
	}
	for who, e := range map[string]*effort{"relmat": relmat, "relmat, hashing": hashing} {
		if e.memory >= 64<<20 {
			t.Errorf("%s took %d MiB", who, e.memory>>20)
		}
	}
}

// ratio says how two efforts compare.
func ratio(a, b *effort) string {
	return fmt.Sprintf("%.2f times as long, %.2f times the CPU time, %.2f times the memory",
		a.wall().Seconds()/b.wall().Seconds(), a.cpu().Seconds()/b.cpu().Seconds(), float64(a.memory)/float64(b.memory))
}
