package githubtest

import (
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// Schedule is a random series of faults. The same seed and the same order of
// requests give the same faults.
type Schedule struct {
	Seed uint64
	Rate float64 // of the requests that fail, 0 to 1
	Most int     // faults in all; 0 is no bound
	// Wait is what rate limits ask for, 10 ms unless given.
	Wait time.Duration
	// Hang is how long a hanging request is held, 50 ms unless given.
	Hang time.Duration
	// No401 leaves out refused tokens, after which a client may give up.
	No401 bool
}

type faults struct {
	mu    sync.Mutex
	rules []*rule
	chaos *chaos
}

type chaos struct {
	Schedule
	rng  *rand.Rand
	made int
}

// Chaos makes requests fail at random from now on, in place of the schedule
// of before. Faults of Fail come first.
func (s *Server) Chaos(sch Schedule) {
	if sch.Wait == 0 {
		sch.Wait = 10 * time.Millisecond
	}
	if sch.Hang == 0 {
		sch.Hang = 50 * time.Millisecond
	}
	s.fault.mu.Lock()
	defer s.fault.mu.Unlock()
	s.fault.chaos = &chaos{Schedule: sch, rng: rand.New(rand.NewPCG(sch.Seed, 0x9e3779b97f4a7c15))}
}

func (ch *chaos) draw(c *call) *Fault {
	if ch == nil || ch.Most > 0 && ch.made >= ch.Most || ch.rng.Float64() >= ch.Rate {
		return nil
	}
	ch.made++
	at := int64(0)
	if n := c.r.ContentLength; n > 0 {
		at = ch.rng.Int64N(n + 1)
	}
	limit := []int{http.StatusForbidden, http.StatusTooManyRequests}[ch.rng.IntN(2)]
	told := ch.rng.IntN(2) == 0
	list := []Fault{
		Reset(at), Lost(), BadGateway(false), BadGateway(true), Truncate(), Hang(at, ch.Hang),
		SecondaryLimit(limit, ch.Wait, told), PrimaryLimit(limit, ch.Wait, told), RefuseStream(at), GoAway(at), ServerError(),
	}
	switch c.op {
	case OpUpload:
		// Broken uploads are what it is all about.
		list = append(list, BadGatewayStarter(), ServerError(), Reset(at), WrongDigest(), Drip(1<<20))
	case OpListReleases, OpListAssets:
		list = append(list, Ghost(), Shift(), Stale(), WrongDigest())
	}
	if !ch.No401 {
		list = append(list, Unauthorized())
	}
	return &list[ch.rng.IntN(len(list))]
}
