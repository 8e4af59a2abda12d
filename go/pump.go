package bulkhead

import (
	"os"
	"syscall"
)

// pump calls drain whenever a descriptor of the engine is readable, until it says
// that nothing more waits. It waits in Go's network poller, so that it holds no OS
// thread.
type pump struct {
	file *os.File
	done chan struct{}
}

// startPump duplicates fd, so that the engine may close its own at any time. The
// descriptor must be non-blocking, otherwise Go would not poll it.
func startPump(fd int, name string, drain func() bool) (*pump, error) {
	dup, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_DUPFD_CLOEXEC, 0)
	if errno != 0 {
		return nil, &Error{Op: OpOpen, Code: ErrResourceExhausted, Errno: errno, Message: "cannot duplicate the engine's descriptor"}
	}
	file := os.NewFile(dup, name)
	raw, err := file.SyscallConn()
	if err != nil {
		_ = file.Close() // it was never used; the error to report is err
		return nil, &Error{Op: OpOpen, Code: ErrInvalidArgument, Message: "cannot poll the engine's descriptor: " + err.Error()}
	}
	p := &pump{file: file, done: make(chan struct{})}
	go p.run(raw, drain)
	return p, nil
}

// run drains inside the poll callback and never leaves it for what is ready: the
// poller is edge-triggered, and remembers an edge that comes while drain runs.
func (p *pump) run(raw syscall.RawConn, drain func() bool) {
	defer close(p.done)
	_ = raw.Read(func(uintptr) bool { // ends with an error when stopped
		for drain() {
		}
		return false
	})
}

// stop returns when drain is not running and will not run again.
func (p *pump) stop() {
	_ = p.file.Close() // closing a duplicate of an eventfd writes nothing
	<-p.done
}
