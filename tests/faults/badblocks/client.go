package badblocks

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/bulkhead-wal/bulkhead/tests/faults/child"
)

// replyLimit is for a reply of the server, which waits for nothing but the processor.
const replyLimit = 20 * time.Second

// Process is the badblocks program, serving an image. It is a process of its own so that whatever hangs in the kernel with it
// does not hang its user: when it dies, the kernel ends all requests.
type Process struct {
	Image   string // where the image is served
	process *child.Process
	replies chan Reply
	mu      sync.Mutex
}

// Start runs the program over an image; mount is made.
func Start(program, image, mount string) (*Process, error) {
	if err := os.MkdirAll(mount, 0o755); err != nil {
		return nil, err
	}
	p := &Process{Image: filepath.Join(mount, ImageName), replies: make(chan Reply, 1)}
	var err error
	p.process, err = child.Start([]string{program, "-image", image, "-mount", mount}, nil, func(line []byte) {
		var r Reply
		if json.Unmarshal(line, &r) == nil {
			p.replies <- r
		}
	})
	if err != nil {
		return nil, err
	}
	if _, err := p.reply(); err != nil {
		p.process.Strike()
		return nil, errors.Join(err, errors.New(strings.TrimSpace(p.process.Stderr())))
	}
	return p, nil
}

func (p *Process) reply() (Reply, error) {
	select {
	case r := <-p.replies:
		if !r.OK {
			return r, errors.New("badblocks: " + r.Text)
		}
		return r, nil
	case <-p.process.Exited:
		return Reply{}, errors.New("badblocks has ended")
	case <-time.After(replyLimit):
		return Reply{}, errors.New("badblocks does not answer")
	}
}

// Do sends a command.
func (p *Process) Do(c Command) (Reply, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	line, err := json.Marshal(c)
	if err != nil {
		return Reply{}, err
	}
	p.process.Send(string(line))
	return p.reply()
}

// Close lets it unmount and end. If it does not, it is killed, and the kernel fails what is still under way.
func (p *Process) Close() error {
	if p.process.End(replyLimit) {
		return nil
	}
	p.process.Strike()
	return errors.New("badblocks did not end")
}
