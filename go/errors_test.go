package bulkhead

import (
	"errors"
	"strings"
	"syscall"
	"testing"
)

var diskErrnos = []syscall.Errno{syscall.EIO, syscall.EROFS, syscall.EACCES}

// A text of one of these errnos makes CubeFS take the whole disk for failed.
func TestOnlyAnErrnoHasADiskText(t *testing.T) {
	for code := Code(0); code < 40; code++ {
		for _, errno := range diskErrnos {
			e := &Error{Op: OpAppend, Partition: 3, Code: code, First: 1, Last: 2, Path: "/disk/" + errno.Error() + "/wal_3",
				Message: "it says " + errno.Error() + " and again " + errno.Error()}
			for _, other := range diskErrnos {
				if strings.Contains(e.Error(), other.Error()) {
					t.Errorf("no system call failed, and yet: %s", e)
				}
				e := *e
				e.Errno = other
				if n := strings.Count(e.Error(), other.Error()); n != 1 {
					t.Errorf("%v stands %d times in: %s", other, n, &e)
				}
				for _, third := range diskErrnos {
					if third != other && strings.Contains(e.Error(), third.Error()) {
						t.Errorf("%v did not happen, and yet: %s", third, &e)
					}
				}
			}
		}
	}
}

func TestErrnoTextStandsOnce(t *testing.T) {
	e := &Error{Op: OpAppend, Code: ErrNoSpace, Errno: syscall.ENOSPC, Message: "the disk says no space left on device"}
	if n := strings.Count(e.Error(), syscall.ENOSPC.Error()); n != 1 {
		t.Errorf("the errno's text stands %d times in: %s", n, e)
	}
}

func TestErrorsIs(t *testing.T) {
	var err error = &Error{Op: OpAppend, Code: ErrIO, Errno: syscall.EIO}
	if !errors.Is(err, ErrIO) || errors.Is(err, ErrGap) {
		t.Error("a code does not match itself, or matches another")
	}
	if !errors.Is(err, syscall.EIO) || errors.Is(err, syscall.ENOSPC) {
		t.Error("an errno does not match itself, or matches another")
	}
	var errno syscall.Errno
	if !errors.As(err, &errno) || errno != syscall.EIO {
		t.Error("the errno cannot be taken out")
	}
	err = &Error{Op: OpAppend, Code: ErrGap}
	if errors.Is(err, syscall.Errno(0)) || errors.As(err, &errno) {
		t.Error("an errno matches where no system call failed")
	}
	if !errors.Is(&Error{Code: ErrNotFound, Errno: syscall.ENOENT}, errors.Unwrap(&Error{Errno: syscall.ENOENT})) {
		t.Error("ENOENT does not match")
	}
}

func TestEveryCodeHasAText(t *testing.T) {
	for code := ErrInvalidArgument; code <= ErrFenced; code++ {
		if strings.Contains(code.Error(), "unknown") && code != ErrInvalidHandle {
			t.Errorf("code %d: %s", int32(code), code)
		}
	}
	if got := Code(99).Error(); got != "bulkhead: unknown status 99" {
		t.Error(got)
	}
}
