package publish

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/relmat/relmat/internal/progress"
)

// sayEvery is how often a log gets a line about uploads.
const sayEvery = 15 * time.Second

// meter shows what is sent: bytes of all uploads for a bar, and now and then a
// line with those that are under way.
type meter struct {
	r *run

	mu          sync.Mutex
	start, said time.Time
	shown       time.Time
	sizes       map[string]int64
	sending     map[string]int64
	whole       int64 // bytes of the assets that are there
	total       int64
}

func newMeter(r *run) *meter {
	now := time.Now()
	return &meter{r: r, start: now, said: now, sizes: map[string]int64{}, sending: map[string]int64{}}
}

// plan counts what is still to be sent.
func (m *meter) plan(actions []Action, files []File) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range files {
		m.sizes[f.Name] = f.Size
	}
	m.total = m.whole
	for _, a := range actions {
		if a.Kind == Upload {
			m.total += m.sizes[a.Name]
		}
	}
}

// begin shows that an asset is sent. sent tells how far it is, done that it is
// over.
func (m *meter) begin(name string) (sent func(int64), done func(error)) {
	begun := time.Now()
	sent = func(n int64) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.sending[name] = n
		m.show(false)
	}
	done = func(err error) {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.sending, name)
		if err == nil {
			size := m.sizes[name]
			m.whole += size
			perSecond, _ := rate(size, size, time.Since(begun))
			m.r.task.Note("uploaded %s: %s, %s/s", name, progress.Bytes(size), progress.Bytes(perSecond))
		}
		m.show(true)
	}
	return sent, done
}

// show is called with the lock held.
func (m *meter) show(now bool) {
	done := m.whole
	for _, n := range m.sending {
		done += n
	}
	t := time.Now()
	if now || t.Sub(m.shown) > 100*time.Millisecond {
		m.shown = t
		m.r.task.Bytes(min(done, m.total), m.total)
	}
	if t.Sub(m.said) < sayEvery || len(m.sending) == 0 {
		return
	}
	m.said = t
	perSecond, left := rate(done, m.total, t.Sub(m.start))
	var under []string
	for name, n := range m.sending {
		under = append(under, fmt.Sprintf("%s %d %%", name, 100*n/max(1, m.sizes[name])))
	}
	slices.Sort(under)
	m.r.task.Line(fmt.Sprintf("%s of %s, %s/s, %s left: %s",
		progress.Bytes(done), progress.Bytes(m.total), progress.Bytes(perSecond), left, strings.Join(under, ", ")))
}

// some joins the first of a list that may be long.
func some(list []string) string {
	const most = 8
	if len(list) <= most {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
}
