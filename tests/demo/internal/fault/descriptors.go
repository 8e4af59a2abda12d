package fault

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"
)

// Reserve makes it possible to inject an error where nothing can be mounted. The
// kernel is asked to fail the system calls on one partition's open files: a seccomp
// filter, which needs no privilege and hits every engine alike, in Go or in Rust.
//
// A filter sees the number of a descriptor, never its path, and it stays for good. So
// nobody may ever get one of those numbers again. The reserve holds low numbers from
// the start and frees them when the filter is in place: the kernel gives out the
// lowest free number, so that what is opened later does not reach the failing ones.
// That is also how the cause "goes away": files opened anew are not hit.
type Reserve struct{ held []int }

const (
	reserved    = 256 // more than the demo opens after the fault
	failingMost = 200 // descriptors; a jump in a filter reaches 255 instructions
)

// NewReserve takes the lowest free descriptors. Call it before anything is opened.
func NewReserve() (*Reserve, error) {
	r := &Reserve{}
	for len(r.held) < reserved {
		fd, err := syscall.Open(os.DevNull, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
		if err != nil {
			r.release()
			return nil, fmt.Errorf("cannot hold %d descriptors: %w", reserved, err)
		}
		r.held = append(r.held, fd)
	}
	return r, nil
}

func (r *Reserve) release() {
	for _, fd := range r.held {
		_ = syscall.Close(fd)
	}
	r.held = nil
}

// FailFilesBelow makes every call that writes to, syncs, allocates in or creates
// below a file or directory which is open now and lies in dir answer EIO, in all
// threads. It can be called once.
func (r *Reserve) FailFilesBelow(dir string) error {
	failing, err := descriptorsBelow(dir)
	if err != nil {
		return err
	}
	if len(failing) == 0 || len(failing) > failingMost {
		return fmt.Errorf("%d open files in %s, want 1 to %d", len(failing), dir, failingMost)
	}
	if err := installFilter(buildFilter(failing)); err != nil {
		return err
	}
	r.release()
	return nil
}

func descriptorsBelow(dir string) ([]uint32, error) {
	const list = "/proc/self/fd"
	names, err := os.ReadDir(list)
	if err != nil {
		return nil, err
	}
	var found []uint32
	for _, name := range names {
		target, err := os.Readlink(filepath.Join(list, name.Name()))
		if err != nil || (target != dir && !strings.HasPrefix(target, dir+"/")) {
			continue // closed meanwhile, or another's
		}
		if fd, err := strconv.ParseUint(name.Name(), 10, 32); err == nil {
			found = append(found, uint32(fd))
		}
	}
	return found, nil
}

// Numbers that Go's syscall package does not have on every version.
const (
	prSetNoNewPrivs     = 38
	seccompSetFilter    = 1
	seccompThreadSync   = 1
	seccompAllow        = 0x7fff0000
	seccompErrno        = 0x00050000
	offsetNumber        = 0
	offsetArchitecture  = 4
	offsetFirstArgument = 16 // low half on little-endian machines
)

var errNoFilter = errors.New("no system call filter for this architecture")

func installFilter(filter []syscall.SockFilter) error {
	if seccompNumber == 0 {
		return errNoFilter
	}
	program := syscall.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	// no_new_privs is a thread's own; the filter's thread sync hands it to the others.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, prSetNoNewPrivs, 1, 0, 0, 0, 0); errno != 0 {
		return fmt.Errorf("prctl: %w", errno)
	}
	thread, _, errno := syscall.RawSyscall(seccompNumber, seccompSetFilter, seccompThreadSync, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	if thread != 0 {
		return fmt.Errorf("seccomp: thread %d could not take the filter", thread)
	}
	return nil
}

func buildFilter(failing []uint32) []syscall.SockFilter {
	const (
		load   = syscall.BPF_LD | syscall.BPF_W | syscall.BPF_ABS
		equal  = syscall.BPF_JMP | syscall.BPF_JEQ | syscall.BPF_K
		answer = syscall.BPF_RET | syscall.BPF_K
	)
	allow := syscall.SockFilter{Code: answer, K: seccompAllow}
	f := []syscall.SockFilter{
		{Code: load, K: offsetArchitecture},
		{Code: equal, K: auditArchitecture, Jt: 1, Jf: 0},
		allow,
		{Code: load, K: offsetNumber},
	}
	for i, number := range failingCalls { // a hit jumps over the rest and over allow
		f = append(f, syscall.SockFilter{Code: equal, K: uint32(number), Jt: uint8(len(failingCalls) - i)})
	}
	f = append(f, allow, syscall.SockFilter{Code: load, K: offsetFirstArgument})
	for i, fd := range failing {
		f = append(f, syscall.SockFilter{Code: equal, K: fd, Jt: uint8(len(failing) - i)})
	}
	return append(f, allow, syscall.SockFilter{Code: answer, K: seccompErrno | uint32(syscall.EIO)})
}
