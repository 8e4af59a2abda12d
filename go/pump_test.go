package bulkhead

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func openDescriptors(t *testing.T) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

// A descriptor that the kernel does not poll, as when its watches are used up: every
// append would wait for ever.
func TestPumpOfWhatCannotBePolled(t *testing.T) {
	fd, err := syscall.Open(filepath.Join(t.TempDir(), "file"), syscall.O_RDWR|syscall.O_CREAT|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	before := openDescriptors(t)
	p, err := startPump(fd, "a file", func() bool { return false })
	if err == nil {
		p.stop()
	}
	if !errors.Is(err, ErrResourceExhausted) || !strings.Contains(err.Error(), "fs.epoll.max_user_watches") {
		t.Errorf("startPump: %v", err)
	}
	if after := openDescriptors(t); after != before {
		t.Errorf("%d descriptors are open, %d were", after, before)
	}
}

// letDown is a descriptor that the poller gives up.
type letDown struct{ syscall.RawConn }

func (letDown) Read(f func(uintptr) bool) error {
	f(0)
	return errors.New("not pollable")
}

// What waits is told although the poller fails.
func TestPumpGoesOnWithoutThePoller(t *testing.T) {
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	p := &pump{file: file, stopping: make(chan struct{}), done: make(chan struct{})}
	var drained int32
	go p.run(letDown{}, func() bool { atomic.AddInt32(&drained, 1); return false })
	for end := time.Now().Add(10 * time.Second); atomic.LoadInt32(&drained) < 3; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it has given up")
		}
	}
	p.stop()
	after := atomic.LoadInt32(&drained)
	time.Sleep(4 * pumpPause)
	if now := atomic.LoadInt32(&drained); now != after {
		t.Error("it drains after stop")
	}
}
