package bulkhead

// #include "shim.h"
import "C"

import (
	"strconv"
	"strings"
	"syscall"
	"unsafe"
)

// Error is the error of every call. It is complete when it is returned: nothing
// has to be asked for later.
type Error struct {
	Op        Op            // what was being done
	Partition uint64        // partition id, 0 if none was concerned
	Code      Code          // what was wrong
	Errno     syscall.Errno // 0 if no system call failed
	First     uint64        // range of indexes concerned; 0, 0 if none
	Last      uint64
	Path      string // file or directory concerned, "" if none
	Message   string // what was wrong and what to do
}

// diskTexts are Go's texts of the errnos by which CubeFS recognises a failed
// disk (it searches for them in error texts), and what Error writes instead of
// them wherever they do not stand for an errno.
var diskTexts = strings.NewReplacer(
	syscall.EIO.Error(), "I/O error",
	syscall.EROFS.Error(), "filesystem mounted read-only",
	syscall.EACCES.Error(), "access refused",
)

// Error returns operation, partition, index range, message and path, and at the
// end Go's text of the errno if a system call failed: exactly once, and the
// texts of EIO, EROFS and EACCES in no other case.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op.String())
	if e.Partition != 0 {
		b.WriteString(" partition ")
		b.WriteString(strconv.FormatUint(e.Partition, 10))
	}
	if e.First != 0 || e.Last != 0 {
		b.WriteString(" [")
		b.WriteString(strconv.FormatUint(e.First, 10))
		b.WriteString(", ")
		b.WriteString(strconv.FormatUint(e.Last, 10))
		b.WriteString("]")
	}
	if e.Path != "" {
		b.WriteString(" ")
		b.WriteString(e.Path)
	}
	if e.Message != "" {
		b.WriteString(": ")
		b.WriteString(e.Message)
	}
	text := diskTexts.Replace(b.String())
	prefix := e.Code.Error() + ": "
	if e.Errno == 0 {
		return prefix + text
	}
	errno := e.Errno.Error()
	return prefix + strings.ReplaceAll(text, errno, "errno "+itoa(int64(e.Errno))) + ": " + errno
}

// Is makes errors.Is(err, ErrGap) and the like work.
func (e *Error) Is(target error) bool {
	code, ok := target.(Code)
	return ok && code == e.Code
}

// Unwrap makes errors.Is and errors.As work with the syscall.Errno.
func (e *Error) Unwrap() error {
	if e.Errno == 0 {
		return nil
	}
	return e.Errno
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// takeError turns a failure of shim.h into an *Error and frees it. It stays
// small enough to be inlined, so that success costs a comparison.
func takeError(c *C.bulkhead_error) error {
	if c == nil {
		return nil
	}
	return copyError(c)
}

func copyError(c *C.bulkhead_error) *Error {
	e := &Error{
		Op:        Op(c.operation),
		Partition: uint64(c.partition_id),
		Code:      Code(c.status),
		Errno:     syscall.Errno(c.os_errno),
		First:     uint64(c.first_index),
		Last:      uint64(c.last_index),
		Path:      boundedString(unsafe.Pointer(&c.path[0]), len(c.path)),
		Message:   boundedString(unsafe.Pointer(&c.message[0]), len(c.message)),
	}
	C.bh_free_error(c)
	return e
}

// boundedString copies a NUL-terminated text and never reads beyond its array.
func boundedString(p unsafe.Pointer, size int) string {
	b := C.GoBytes(p, C.int(size))
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}
