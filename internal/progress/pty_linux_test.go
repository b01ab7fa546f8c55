package progress_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/progress"
	"golang.org/x/sys/unix"
)

// openPTY makes a terminal: what is written to the one file is read from the
// other.
func openPTY(t *testing.T) (master, terminal *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = master.Close() })
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprint("/dev/pts/", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = terminal.Close() })
	return master, terminal
}

func TestAutoOnATerminal(t *testing.T) {
	tests := []struct {
		name string
		env  []string
		want string
	}{
		{"a terminal", []string{"TERM", "xterm"}, "\x1b[1m▸ build\x1b[0m  x"},
		{"without color", []string{"TERM", "xterm", "NO_COLOR", "1"}, "▸ build  x"},
		{"a dumb one", []string{"TERM", "dumb"}, "▸ build  x"},
		{"GitHub Actions with one", []string{"TERM", "xterm", "GITHUB_ACTIONS", "true"}, "::group::build x"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			master, terminal := openPTY(t)
			sink, err := progress.NewSink(progress.Auto, terminal, env(tt.env...))
			if err != nil {
				t.Fatal(err)
			}
			sink.Event(progress.Event{Kind: progress.KindBegin, Stage: "build", Text: "x"})
			buf := make([]byte, 256)
			n, err := master.Read(buf)
			if got := strings.TrimRight(string(buf[:n]), "\r\n"); err != nil || got != tt.want {
				t.Errorf("%q, %v; want %q", got, err, tt.want)
			}
		})
	}
}
