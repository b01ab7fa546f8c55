package proc

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// group is a job object for a child and what it starts. This process holds its
// only handle: the kernel closes it when relmat ends, however that comes, and
// then kills the job, so that nothing goes on writing where the next run will
// work. Jobs nest: one that relmat itself runs in, such as a CI runner's, is no
// hindrance, nor is the one that Cargo makes.
type group struct{ job windows.Handle }

func newGroup() (*group, error) {
	job, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return nil, os.NewSyscallError("CreateJobObject", err)
	}
	g := &group{job}
	if err := g.limit(windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE); err != nil {
		return nil, errors.Join(err, windows.CloseHandle(job))
	}
	return g, nil
}

func (g *group) limit(flags uint32) error {
	info := windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION{BasicLimitInformation: windows.JOBOBJECT_BASIC_LIMIT_INFORMATION{LimitFlags: flags}}
	_, err := windows.SetInformationJobObject(g.job, windows.JobObjectExtendedLimitInformation, uintptr(unsafe.Pointer(&info)), uint32(unsafe.Sizeof(info)))
	return os.NewSyscallError("SetInformationJobObject", err)
}

// start starts cmd as a member. The child is suspended until it is one, so that
// nothing that it starts can escape. It is asked to end, with all others of its
// console group, when its context does; where that cannot be asked, because
// there is no console, the job is ended at once.
func (g *group) start(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	// A group of its own: the console's Ctrl-C is for relmat alone.
	cmd.SysProcAttr.CreationFlags |= windows.CREATE_NEW_PROCESS_GROUP | windows.CREATE_SUSPENDED
	var member sync.Mutex // held until the child runs as a member
	member.Lock()
	cmd.Cancel = func() error {
		member.Lock()
		defer member.Unlock()
		if windows.GenerateConsoleCtrlEvent(windows.CTRL_BREAK_EVENT, uint32(cmd.Process.Pid)) == nil {
			return nil
		}
		return windows.TerminateJobObject(g.job, endedCode)
	}
	err := cmd.Start()
	if err == nil {
		if err = g.admit(cmd.Process); err != nil {
			_ = cmd.Process.Kill()
		}
	}
	member.Unlock()
	if err != nil && cmd.Process != nil {
		_ = cmd.Wait()
	}
	return err
}

// endedCode is the exit code of what is killed with its job: the one that
// Windows gives to a program that Ctrl-C ended, STATUS_CONTROL_C_EXIT.
const endedCode = 0xC000013A

// admit makes the suspended process a member and lets it run.
func (g *group) admit(p *os.Process) error {
	var err error
	if herr := p.WithHandle(func(h uintptr) {
		err = os.NewSyscallError("AssignProcessToJobObject", windows.AssignProcessToJobObject(g.job, windows.Handle(h)))
	}); herr != nil || err != nil {
		return errors.Join(herr, err)
	}
	return resume(uint32(p.Pid))
}

// resume lets the threads of a process that was started suspended run; it has
// one, unless a virus scanner added its own. (os/exec keeps no handle of it.)
func resume(pid uint32) error {
	snapshot, err := windows.CreateToolhelp32Snapshot(windows.TH32CS_SNAPTHREAD, 0)
	if err != nil {
		return os.NewSyscallError("CreateToolhelp32Snapshot", err)
	}
	defer windows.CloseHandle(snapshot)
	resumed := false
	entry := windows.ThreadEntry32{Size: uint32(unsafe.Sizeof(windows.ThreadEntry32{}))}
	for err = windows.Thread32First(snapshot, &entry); err == nil; err = windows.Thread32Next(snapshot, &entry) {
		if entry.OwnerProcessID != pid {
			continue
		}
		thread, err := windows.OpenThread(windows.THREAD_SUSPEND_RESUME, false, entry.ThreadID)
		if err != nil {
			return os.NewSyscallError("OpenThread", err)
		}
		_, err = windows.ResumeThread(thread)
		_ = windows.CloseHandle(thread)
		if err != nil {
			return os.NewSyscallError("ResumeThread", err)
		}
		resumed = true
	}
	if !errors.Is(err, windows.ERROR_NO_MORE_FILES) {
		return os.NewSyscallError("Thread32Next", err)
	}
	if !resumed {
		return fmt.Errorf("process %d has no thread to resume", pid)
	}
	return nil
}

// dismiss lets go of the job when the child has ended: what it left behind on
// purpose, such as a compiler cache's server, lives on.
func (g *group) dismiss() {
	_ = g.limit(0)
	_ = windows.CloseHandle(g.job)
}

// end gives what is left of the job the time until deadline to end, then kills
// it.
func (g *group) end(deadline time.Time) {
	for time.Now().Before(deadline) && g.active() {
		time.Sleep(20 * time.Millisecond)
	}
	_ = windows.TerminateJobObject(g.job, endedCode)
	_ = windows.CloseHandle(g.job)
}

// accounting is JOBOBJECT_BASIC_ACCOUNTING_INFORMATION of winnt.h.
type accounting struct {
	TotalUserTime, TotalKernelTime, ThisPeriodTotalUserTime, ThisPeriodTotalKernelTime int64
	TotalPageFaultCount, TotalProcesses, ActiveProcesses, TotalTerminatedProcesses     uint32
}

// active tells whether a member of the job runs.
func (g *group) active() bool {
	var info accounting
	err := windows.QueryInformationJobObject(g.job, windows.JobObjectBasicAccountingInformation, uintptr(unsafe.Pointer(&info)), uint32(unsafe.Sizeof(info)), nil)
	return err != nil || info.ActiveProcesses > 0
}
