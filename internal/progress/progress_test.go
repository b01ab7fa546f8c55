package progress_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/relmat/relmat/internal/progress"
)

// record keeps the events. It has no lock: -race tells when two stages are in
// it at once.
type record struct {
	events []progress.Event
	closed int
	err    error
}

func (r *record) Event(e progress.Event) { r.events = append(r.events, e) }

func (r *record) Close() error {
	r.closed++
	return r.err
}

func TestTask(t *testing.T) {
	var rec record
	r := progress.New(&rec)
	r.Note("note %d", 1)
	r.Warn("warn %s", "two")
	task := r.Begin("linux-x64", "build", "100% of it") // a text, not a format
	task.Line("%d is no verb here")
	task.Note("n %d", 3)
	task.Warn("w %d", 4)
	task.Error("e %d", 4)
	task.Bytes(5, 6)
	task.Done("done %d", 7)
	r.Begin("", "a", "").Reused("reused %d", 8)
	r.Begin("", "b", "").Failed()
	in := func(k progress.Kind, text string) progress.Event {
		return progress.Event{Kind: k, Target: "linux-x64", Stage: "build", Text: text}
	}
	want := []progress.Event{
		{Kind: progress.KindNote, Text: "note 1"},
		{Kind: progress.KindWarn, Text: "warn two"},
		in(progress.KindBegin, "100% of it"),
		in(progress.KindLine, "%d is no verb here"),
		in(progress.KindNote, "n 3"),
		in(progress.KindWarn, "w 4"),
		in(progress.KindError, "e 4"),
		{Kind: progress.KindBytes, Target: "linux-x64", Stage: "build", Done: 5, Total: 6},
		in(progress.KindDone, "done 7"),
		{Kind: progress.KindBegin, Stage: "a"},
		{Kind: progress.KindReused, Stage: "a", Text: "reused 8"},
		{Kind: progress.KindBegin, Stage: "b"},
		{Kind: progress.KindFailed, Stage: "b"},
	}
	if len(rec.events) != len(want) {
		t.Fatalf("%d events, want %d", len(rec.events), len(want))
	}
	for i, got := range rec.events {
		ends := got.Kind == progress.KindDone || got.Kind == progress.KindReused || got.Kind == progress.KindFailed
		if timed := got.Seconds > 0; timed != ends {
			t.Errorf("event %d took %v s", i, got.Seconds)
		}
		got.Seconds = 0
		if got != want[i] {
			t.Errorf("event %d: %+v, want %+v", i, got, want[i])
		}
	}
}

func TestNoReporter(t *testing.T) {
	for name, r := range map[string]*progress.Reporter{"nil": nil, "zero": {}} {
		r.Note("x")
		r.Warn("x")
		task := r.Begin("t", "s", "x")
		task.Line("x")
		task.Bytes(1, 2)
		if n, err := task.Counter(3).Write([]byte("abc")); n != 3 || err != nil {
			t.Errorf("%s: %d, %v", name, n, err)
		}
		task.Done("x")
		if err := r.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestClose(t *testing.T) {
	boom := errors.New("boom")
	rec := record{err: boom}
	if err := progress.New(&rec).Close(); !errors.Is(err, boom) || rec.closed != 1 {
		t.Errorf("closed %d times, %v", rec.closed, err)
	}
}

func TestCounter(t *testing.T) {
	var rec record
	task := progress.New(&rec).Begin("", "archive", "")
	const size = 1 << 20
	if n, err := io.Copy(task.Counter(size), io.LimitReader(zeros{}, size)); n != size || err != nil {
		t.Fatal(n, err)
	}
	shown := rec.events[1:]
	last := int64(0)
	for _, e := range shown {
		if e.Kind != progress.KindBytes || e.Total != size || e.Done <= last {
			t.Errorf("event %+v after %d", e, last)
		}
		last = e.Done
	}
	if last != size {
		t.Errorf("the last event says %d of %d", last, size)
	}
	// 32 writes in no time at all: most of them are not worth an event.
	if len(shown) > 20 {
		t.Errorf("%d events", len(shown))
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// Stages of several targets report at once; each sink gets whole events.
func TestConcurrentStages(t *testing.T) {
	for _, mode := range progress.Modes() {
		t.Run(mode, func(t *testing.T) {
			var b bytes.Buffer
			sink, err := progress.NewSink(progress.Mode(mode), &b, env())
			if err != nil {
				t.Fatal(err)
			}
			r := progress.New(sink)
			const stages, lines = 8, 50
			var wg sync.WaitGroup
			for s := range stages {
				wg.Go(func() {
					task := r.Begin(fmt.Sprint("t", s), "build", "x")
					for i := range lines {
						task.Warn("stage-%d-line-%d-end", s, i)
						task.Bytes(int64(i), lines)
					}
					task.Done("x")
				})
			}
			wg.Wait()
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			text := b.String()
			for s := range stages {
				at := 0
				for i := range lines { // all there, whole, and in each stage's order
					word := fmt.Sprintf("stage-%d-line-%d-end", s, i)
					j := strings.Index(text[at:], word)
					if j < 0 {
						t.Fatalf("%s is not in its place", word)
					}
					at += j + len(word)
				}
			}
			if mode == string(progress.JSON) {
				for line := range strings.Lines(text) {
					if !json.Valid([]byte(line)) {
						t.Errorf("line %q", line)
					}
				}
			}
		})
	}
}
