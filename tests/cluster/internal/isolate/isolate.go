// Package isolate runs a command in mount, process and network namespaces of its own. When it ends, however it ends, the kernel
// kills every process in there and takes down every mount, and with the mounts the loop devices. Its loopback addresses are its
// own, too: nothing outside can be in the way.
package isolate

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	stageVariable = "BULKHEAD_CLUSTER_STAGE"
	stageInit     = "init"
	stageInside   = "inside"
)

// Inside tells whether this process is the one that was run in the namespaces.
func Inside() bool { return os.Getenv(stageVariable) == stageInside }

// Init is to be called first thing in main: in the first process of the namespaces it does not return.
func Init() {
	if os.Getenv(stageVariable) != stageInit {
		return
	}
	code, err := runInit()
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
	}
	os.Exit(code)
}

// runInit is a process of its own, so that the end of the namespaces does not wait for the command's threads: those that write
// to a mount hang until its client has been killed.
func runInit() (int, error) {
	// Nothing that is mounted in here is seen outside.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return 2, fmt.Errorf("cannot make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return 2, fmt.Errorf("cannot mount /proc: %w", err)
	}
	if err := loopbackUp(); err != nil {
		return 2, fmt.Errorf("cannot bring the loopback interface up: %w", err)
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), stageVariable+"="+stageInside)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return exitCode(cmd.Run())
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		return err
	}
	alias, err := unix.NewIfreq("lo:1")
	if err != nil {
		return err
	}
	if err := alias.SetInet4Addr(ownAddress); err != nil {
		return err
	}
	return unix.IoctlIfreq(fd, unix.SIOCSIFADDR, alias)
}

// ownAddress is of a range kept for documentation (RFC 5737). CubeFS's client looks for an address of the machine that is none of
// the loopback range, to show it to the master's access list, and does not mount without.
var ownAddress = []byte{192, 0, 2, 1}

// ErrLimit means that the command did not end in time; everything of it is gone.
var ErrLimit = errors.New("did not end in time")

// ErrInterrupted means that this process was told to end; everything of the command is gone.
var ErrInterrupted = errors.New("interrupted")

// command is this program with other arguments in new namespaces.
func command(args []string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), stageVariable+"="+stageInit)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET,
		Pdeathsig:  syscall.SIGKILL,
		Setpgid:    true, // an interrupt from the terminal comes to this process alone
	}
	return cmd
}

// startIn starts a command and holds its mounts until the caller closes what it gets, when all processes of the namespaces are
// gone. Without that the last of them takes the mounts down as it ends; if that one serves a disk through FUSE, a filesystem on
// that disk waits for it, and it for the filesystem.
func startIn(cmd *exec.Cmd) (*os.File, error) {
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot make namespaces: %w", err)
	}
	mounts, err := os.Open(fmt.Sprintf("/proc/%d/ns/mnt", cmd.Process.Pid))
	if err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	return mounts, err
}

// Run runs this program with other arguments in new namespaces, for no longer than the limit.
func Run(limit time.Duration, args ...string) error {
	runtime.LockOSThread() // Pdeathsig is about the thread that started the child
	defer runtime.UnlockOSThread()
	cmd := command(args)
	mounts, err := startIn(cmd)
	if err != nil {
		return err
	}
	defer mounts.Close()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(stop)
	timer := time.NewTimer(limit)
	defer timer.Stop()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		return err
	case <-timer.C:
		_ = cmd.Process.Kill()
		<-ended
		return fmt.Errorf("%w (%v)", ErrLimit, limit)
	case <-stop:
		_ = cmd.Process.Kill()
		<-ended
		return ErrInterrupted
	}
}

// Talker is this program in new namespaces, told what to do line by line.
type Talker struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Scanner
	mounts *os.File
}

// Talk starts one. The caller's thread must be locked, and live as long as the talker.
func Talk(args ...string) (*Talker, error) {
	t := &Talker{cmd: command(args)}
	t.cmd.Stdout = nil
	out, err := t.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if t.in, err = t.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	t.out = bufio.NewScanner(out)
	t.mounts, err = startIn(t.cmd)
	return t, err
}

// Say sends a line.
func (t *Talker) Say(line string) error {
	_, err := fmt.Fprintln(t.in, line)
	return err
}

// Hear waits for a line.
func (t *Talker) Hear() (string, error) {
	if t.out.Scan() {
		return t.out.Text(), nil
	}
	if err := t.out.Err(); err != nil {
		return "", err
	}
	return "", io.EOF
}

// End kills everything in the namespaces.
func (t *Talker) End() {
	_ = t.cmd.Process.Kill()
	_ = t.cmd.Wait()
	t.mounts.Close()
}

func exitCode(err error) (int, error) {
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() >= 0 {
		return exit.ExitCode(), nil
	}
	if err != nil {
		return 2, err
	}
	return 0, nil
}
