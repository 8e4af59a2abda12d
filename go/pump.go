package bulkhead

import (
	"os"
	"syscall"
	"time"
)

// pump calls drain whenever a descriptor of the engine is readable, until it says
// that nothing more waits. It waits in Go's network poller, so that it holds no OS
// thread.
type pump struct {
	file     *os.File
	stopping chan struct{}
	done     chan struct{}
}

// pumpPause is how long a pump that the poller has let down waits before it looks
// again.
const pumpPause = 5 * time.Millisecond

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
	// NewFile does not say that the kernel has refused to poll it; nothing would ever
	// be told that waits.
	if err := file.SetReadDeadline(time.Time{}); err != nil {
		_ = file.Close() // as above
		return nil, &Error{Op: OpOpen, Code: ErrResourceExhausted, Message: "the kernel does not poll the engine's descriptor: most likely this user's epoll watches are used up; " +
			"raise fs.epoll.max_user_watches, or have the user's programs poll less, and open the engine again"}
	}
	p := &pump{file: file, stopping: make(chan struct{}), done: make(chan struct{})}
	go p.run(raw, drain)
	return p, nil
}

// run drains inside the poll callback and never leaves it for what is ready: the
// poller is edge-triggered, and remembers an edge that comes while drain runs.
func (p *pump) run(raw syscall.RawConn, drain func() bool) {
	defer close(p.done)
	for {
		_ = raw.Read(func(uintptr) bool {
			for drain() {
			}
			return false
		})
		// It ends with an error only: of stop, or of the poller, and then those who wait
		// must be told all the same. Each try drains before it waits.
		select {
		case <-p.stopping:
			return
		case <-time.After(pumpPause):
		}
	}
}

// stop returns when drain is not running and will not run again.
func (p *pump) stop() {
	close(p.stopping)
	_ = p.file.Close() // closing a duplicate of an eventfd writes nothing
	<-p.done
}
