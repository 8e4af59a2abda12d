// Package baddisk makes the open files of one directory fail with a real EIO,
// for tests: every read and write of them fails in the kernel. It needs no root
// and no mount, and touches no other file of the process.
//
// It puts the memory of a child process in the place of the files' descriptors.
// Reading or writing where that process has nothing mapped is an EIO, and
// nothing is mapped at the low addresses that a log's offsets are.
package baddisk

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Fault is the fault of one directory. Files that the directory's owner opens
// later are not touched by it.
type Fault struct {
	child *exec.Cmd
	Files int // how many descriptors fail
}

// Break makes the regular files that are open under dir fail.
func Break(dir string) (*Fault, error) {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	child := exec.Command("sleep", "600")
	if err := child.Start(); err != nil {
		return nil, err
	}
	f := &Fault{child: child}
	if err := f.replace(dir); err != nil {
		f.End()
		return nil, err
	}
	if f.Files == 0 {
		f.End()
		return nil, fmt.Errorf("no file under %s is open", dir)
	}
	return f, nil
}

func (f *Fault) replace(dir string) error {
	memory, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", f.child.Process.Pid), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer memory.Close()
	names, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		return err
	}
	for _, name := range names {
		target, err := os.Readlink(name)
		if err != nil || !strings.HasPrefix(target, dir+"/") {
			continue // closed meanwhile, or somebody else's
		}
		if info, err := os.Stat(name); err != nil || !info.Mode().IsRegular() {
			continue
		}
		fd, err := strconv.Atoi(filepath.Base(name))
		if err != nil {
			return err
		}
		if err := syscall.Dup3(int(memory.Fd()), fd, syscall.O_CLOEXEC); err != nil {
			return err
		}
		f.Files++
	}
	return nil
}

// End ends the child. Call it after the log is closed: what was replaced would
// behave in other ways without it.
func (f *Fault) End() {
	_ = f.child.Process.Kill() // it may have ended by itself
	_ = f.child.Wait()         // and is gone either way
}
