// Package runner runs fault scenarios: in namespaces of their own, several at a time, with a line of progress for each.
package runner

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	insideVariable = "BULKHEAD_FAULTS_INSIDE"
	workBytes      = "size=3g"
)

// Isolate goes on in a child with its own mount and process namespaces, and with a tmpfs over the work directory. When the
// child ends, the kernel kills every process in there, takes down every mount, and with them the loop devices and the images:
// nothing is left behind, not even after SIGKILL. It returns in the child only.
func Isolate(work string) error {
	if os.Geteuid() != 0 {
		fmt.Println("skipped: needs root (mounts filesystems on loop devices)")
		if os.Getenv("CI") == "true" {
			return errors.New("in CI a skip is a failure")
		}
		os.Exit(0)
	}
	if err := os.MkdirAll(work, 0o755); err != nil {
		return err
	}
	if os.Getenv(insideVariable) == "" {
		return child()
	}
	// Nothing that is mounted in here is seen outside.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("cannot make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("cannot mount /proc: %w", err)
	}
	if err := unix.Mount("tmpfs", work, "tmpfs", 0, workBytes); err != nil {
		return fmt.Errorf("cannot mount a tmpfs at %s: %w", work, err)
	}
	return nil
}

func child() error {
	runtime.LockOSThread() // Pdeathsig is about the thread that started the child
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), insideVariable+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot make namespaces: %w", err)
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		<-stop
		_ = cmd.Process.Kill()
	}()
	err := cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if exit.ExitCode() < 0 {
			return fmt.Errorf("interrupted: %v", exit)
		}
		os.Exit(exit.ExitCode())
	}
	if err == nil {
		os.Exit(0)
	}
	return err
}
