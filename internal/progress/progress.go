// Package progress is the one stream of events of a run. Stages say what they
// do; how it looks is decided here: bars on a terminal, plain lines in a log,
// groups and a summary on GitHub Actions, or JSON for other programs.
package progress

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// Event is something that happened in a run.
type Event struct {
	Kind Kind `json:"kind"`
	// Target and Stage say where; Target is empty outside of targets.
	Target string `json:"target,omitempty"`
	Stage  string `json:"stage,omitempty"`
	Text   string `json:"text,omitempty"`
	// URL is where what Text names is found, for KindLink.
	URL string `json:"url,omitempty"`
	// Done and Total are bytes, for KindBytes.
	Done  int64 `json:"done,omitempty"`
	Total int64 `json:"total,omitempty"`
	// Seconds is how long the stage took, for the kinds that end one.
	Seconds float64 `json:"seconds,omitempty"`
}

// Kind tells what an Event is.
type Kind string

// The kinds of events, in the order of a stage's life.
const (
	KindBegin  Kind = "begin"
	KindLine   Kind = "line"   // a line of a child process
	KindNote   Kind = "note"   // a remark of relmat's own
	KindWarn   Kind = "warn"   // a remark that wants attention
	KindError  Kind = "error"  // what is wrong with the result, one of several
	KindBytes  Kind = "bytes"  // an amount of work is done
	KindLink   Kind = "link"   // something that was made has an address
	KindDone   Kind = "done"   // the stage has made its result
	KindReused Kind = "reused" // the result of an earlier run stands
	KindFailed Kind = "failed"
)

// Sink shows events. Its methods are never called at the same time.
type Sink interface{ Event(Event) }

// Reporter hands the events of concurrent stages to a sink, one by one. The
// zero Reporter, and a nil one, shows nothing.
type Reporter struct {
	mu   sync.Mutex
	sink Sink
}

// New makes a Reporter that shows events on sink.
func New(sink Sink) *Reporter { return &Reporter{sink: sink} }

// Close lets a sink that keeps something for the end show it.
func (r *Reporter) Close() error {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if c, ok := r.sink.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

func (r *Reporter) emit(e Event) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sink != nil {
		r.sink.Event(e)
	}
}

// Warn shows a remark that belongs to no stage.
func (r *Reporter) Warn(format string, args ...any) {
	r.emit(Event{Kind: KindWarn, Text: fmt.Sprintf(format, args...)})
}

// Note shows a remark that belongs to no stage.
func (r *Reporter) Note(format string, args ...any) {
	r.emit(Event{Kind: KindNote, Text: fmt.Sprintf(format, args...)})
}

// Link names the address of something that the run made.
func (r *Reporter) Link(text, url string) { r.emit(Event{Kind: KindLink, Text: text, URL: url}) }

// Begin opens a stage. text says what it works on.
func (r *Reporter) Begin(target, stage, text string) *Task {
	t := &Task{r: r, target: target, stage: stage, start: time.Now()}
	t.emit(KindBegin, text)
	return t
}

// Task is an open stage.
type Task struct {
	r             *Reporter
	target, stage string
	start         time.Time
}

func (t *Task) emit(k Kind, text string) {
	e := Event{Kind: k, Target: t.target, Stage: t.stage, Text: text}
	if k == KindDone || k == KindReused || k == KindFailed {
		e.Seconds = time.Since(t.start).Seconds()
	}
	t.r.emit(e)
}

// Line shows a line that a child process wrote.
func (t *Task) Line(line string) { t.emit(KindLine, line) }

// Note shows a remark.
func (t *Task) Note(format string, args ...any) { t.emit(KindNote, fmt.Sprintf(format, args...)) }

// Warn shows a remark that wants attention.
func (t *Task) Warn(format string, args ...any) { t.emit(KindWarn, fmt.Sprintf(format, args...)) }

// Error shows one of several things that are wrong with what the stage looks
// at. The error that ends the stage is the command's to show.
func (t *Task) Error(format string, args ...any) { t.emit(KindError, fmt.Sprintf(format, args...)) }

// Bytes shows how much of the stage's total is done.
func (t *Task) Bytes(done, total int64) {
	t.r.emit(Event{Kind: KindBytes, Target: t.target, Stage: t.stage, Done: done, Total: total})
}

// Done ends the stage with what it made.
func (t *Task) Done(format string, args ...any) { t.emit(KindDone, fmt.Sprintf(format, args...)) }

// Reused ends the stage with the result of an earlier run.
func (t *Task) Reused(format string, args ...any) { t.emit(KindReused, fmt.Sprintf(format, args...)) }

// Failed ends the stage without a result. The error itself is shown once, by
// the command.
func (t *Task) Failed() { t.emit(KindFailed, "") }

// Counter returns a writer that counts what is written through it towards
// total.
func (t *Task) Counter(total int64) io.Writer { return &counter{task: t, total: total} }

type counter struct {
	task        *Task
	done, total int64
	shown       time.Time
}

func (c *counter) Write(p []byte) (int, error) {
	c.done += int64(len(p))
	if now := time.Now(); now.Sub(c.shown) > 100*time.Millisecond || c.done == c.total {
		c.shown = now
		c.task.Bytes(c.done, c.total)
	}
	return len(p), nil
}
