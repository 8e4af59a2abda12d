package factory

import (
	"errors"
	"os"
	"syscall"
	"testing"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
)

// TestUnreadable: a group whose directory cannot be listed for a moment comes back
// only if the supervisor knows the error; one of what somebody configured does not.
func TestUnreadable(t *testing.T) {
	for errno, code := range map[syscall.Errno]bulkhead.Code{
		syscall.EIO: bulkhead.ErrIO, syscall.ESTALE: bulkhead.ErrIO, syscall.EMFILE: bulkhead.ErrResourceExhausted,
		syscall.ENOTDIR: bulkhead.ErrNotADirectory, syscall.EACCES: bulkhead.ErrPermissionDenied,
	} {
		err := unreadable("/disk/wal_1", &os.PathError{Op: "open", Path: "/disk/wal_1", Err: errno})
		if !errors.Is(err, code) || !errors.Is(err, errno) {
			t.Errorf("%v is %v", errno, err)
		}
	}
	file := t.TempDir() + "/wal_1"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := inspect(file); !errors.Is(err, bulkhead.ErrNotADirectory) {
		t.Errorf("a file: %v", err)
	}
}
