package factory

import (
	"errors"
	"os"
	"regexp"
	"syscall"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
)

// holding says whose log a directory holds.
type holding int

const (
	noLog holding = iota // missing, or nothing in it that is a log
	bulkheadLog
	cubefsLog
)

// cubefsFile matches what CubeFS's WAL takes for a log file: it reads the name
// with a format that also accepts what goes on after it.
var cubefsFile = regexp.MustCompile(`^[0-9a-fA-F]{16}-[0-9a-fA-F]{16}\.log`)

// inspect looks at names only. Bulkhead keeps a directory named META in its own,
// so that CubeFS's WAL, which opens a file of that name, refuses it.
func inspect(dir string) (holding, error) {
	entries, err := os.ReadDir(dir)
	if os.IsNotExist(err) {
		return noLog, nil
	}
	if err != nil {
		return noLog, unreadable(dir, err)
	}
	found := noLog
	for _, e := range entries {
		switch {
		case e.Name() == "root", e.Name() == "root.new", e.Name() == "META" && e.IsDir():
			return bulkheadLog, nil
		case e.Name() == "META", cubefsFile.MatchString(e.Name()):
			found = cubefsLog
		}
	}
	return found, nil
}

// codes are what the library returns for these errnos; it is ErrIO for others.
var codes = map[syscall.Errno]bulkhead.Code{
	syscall.ENOTDIR: bulkhead.ErrNotADirectory, syscall.EACCES: bulkhead.ErrPermissionDenied,
	syscall.EMFILE: bulkhead.ErrResourceExhausted, syscall.ENFILE: bulkhead.ErrResourceExhausted, syscall.ENOMEM: bulkhead.ErrResourceExhausted,
}

// unreadable is an error of the operating system as the library would return it:
// the supervisor knows by the code whether it passes.
func unreadable(dir string, err error) error {
	e := &bulkhead.Error{Op: bulkhead.OpOpen, Code: bulkhead.ErrIO, Path: dir, Message: "the directory cannot be listed"}
	if !errors.As(err, &e.Errno) {
		e.Message += ": " + err.Error()
	} else if code, ok := codes[e.Errno]; ok {
		e.Code = code
	}
	return e
}

// lock keeps conversions away from a directory, in this process or another, until
// the file is closed: CubeFS's WAL takes no lock of its own. It fails if somebody
// converts it, or has begun to on a disk that has not come back: what hangs may be a
// move of its files. No file if there is no directory.
func lock(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, unreadable(dir, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); err == syscall.EWOULDBLOCK {
		f.Close()
		return nil, &bulkhead.Error{Op: bulkhead.OpOpen, Code: bulkhead.ErrLocked, Errno: syscall.EWOULDBLOCK, Path: dir,
			Message: "the log is being converted, or its conversion has not come back from the disk"}
	}
	return f, nil
}

// unlock lets a directory go. A child that was forked and has not begun its program
// shares the descriptor, and would keep the lock.
func unlock(f *os.File) {
	if f != nil {
		_ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN)
		f.Close()
	}
}
