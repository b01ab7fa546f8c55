package proc

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/windows"
)

// roleVar makes the test binary play a child, where the tests of Unix have
// shell scripts: its value is the name of a role.
const roleVar = "PROC_TEST_ROLE"

func TestMain(m *testing.M) {
	switch role, rest, _ := strings.Cut(os.Getenv(roleVar), " "); role {
	case "":
		grace = time.Second
		os.Exit(m.Run())
	case "args":
		_ = json.NewEncoder(os.Stdout).Encode(os.Args[1:])
	case "env":
		fmt.Println(os.Getenv(rest))
	case "dir":
		fmt.Println(os.Getwd())
	case "exit":
		fmt.Fprintln(os.Stderr, "it fails")
		code, _ := strconv.Atoi(rest)
		os.Exit(code)
	case "sleep":
		fmt.Printf("pid %d\nready\n", os.Getpid())
		time.Sleep(time.Minute)
	case "stubborn": // takes no notice of Ctrl-Break
		signal.Notify(make(chan os.Signal, 1), os.Interrupt)
		fmt.Printf("pid %d\nready\n", os.Getpid())
		time.Sleep(time.Minute)
	case "cleanup":
		c := make(chan os.Signal, 1)
		signal.Notify(c, os.Interrupt)
		fmt.Printf("pid %d\nready\n", os.Getpid())
		<-c
		fmt.Println("cleaned up")
		os.Exit(0)
	case "parent", "leaver": // of the rest; a leaver ends before it
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), roleVar+"="+rest)
		out, _ := child.StdoutPipe()
		if err := child.Start(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Printf("pid %d\n", os.Getpid())
		for lines := bufio.NewScanner(out); lines.Scan(); {
			fmt.Println(lines.Text())
			if role == "leaver" && lines.Text() == "ready" {
				os.Exit(0)
			}
		}
		_ = child.Wait()
	case "relmat": // that runs the rest
		c := play(rest)
		c.Stderr = func(line string) { fmt.Println(line) }
		if err := c.Run(context.Background()); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	os.Exit(0)
}

// play is a command that plays the role.
func play(role string, args ...string) Cmd {
	return Cmd{Path: os.Args[0], Args: args, Env: []string{roleVar + "=" + role, "SystemRoot=" + os.Getenv("SystemRoot"), "PATH=" + os.Getenv("PATH")}}
}

func alive(pid int) bool {
	h, err := windows.OpenProcess(windows.SYNCHRONIZE, false, uint32(pid))
	if err != nil {
		return false
	}
	defer windows.CloseHandle(h)
	event, err := windows.WaitForSingleObject(h, 0)
	return err == nil && event == uint32(windows.WAIT_TIMEOUT)
}

// wantGone waits a little for the processes to end.
func wantGone(t *testing.T, pids ...int) {
	t.Helper()
	if len(pids) == 0 {
		t.Fatal("nothing was started")
	}
	for _, pid := range pids {
		for deadline := time.Now().Add(5 * time.Second); alive(pid); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Errorf("process %d still runs", pid)
				if p, err := os.FindProcess(pid); err == nil {
					_ = p.Kill()
				}
				break
			}
		}
	}
}

func parsePID(t *testing.T, line string) int {
	t.Helper()
	pid, err := strconv.Atoi(strings.TrimPrefix(line, "pid "))
	if err != nil {
		t.Fatalf("%q is no process id", line)
	}
	return pid
}
