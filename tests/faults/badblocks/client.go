package badblocks

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// replyLimit is for a reply of the server, which waits for nothing but the processor.
const replyLimit = 20 * time.Second

// Process is the badblocks program, serving an image. It is a process of its own so that whatever hangs in the kernel with it
// does not hang its user: when it dies, the kernel ends all requests.
type Process struct {
	Image string // where the image is served
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   chan Reply
	mu    sync.Mutex
}

// Start runs the program over an image; mount is made.
func Start(program, image, mount string) (*Process, error) {
	if err := os.MkdirAll(mount, 0o755); err != nil {
		return nil, err
	}
	p := &Process{Image: filepath.Join(mount, ImageName), cmd: exec.Command(program, "-image", image, "-mount", mount), out: make(chan Reply, 1)}
	var stderr bytes.Buffer
	p.cmd.Stderr = &stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", program, err)
	}
	p.in = in
	go p.collect(out)
	if _, err := p.reply(); err != nil {
		p.Kill()
		return nil, errors.Join(err, errors.New(strings.TrimSpace(stderr.String())))
	}
	return p, nil
}

func (p *Process) collect(out io.Reader) {
	defer close(p.out)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var r Reply
		if json.Unmarshal(lines.Bytes(), &r) == nil {
			p.out <- r
		}
	}
	_ = p.cmd.Wait()
}

func (p *Process) reply() (Reply, error) {
	select {
	case r, alive := <-p.out:
		if !alive {
			return r, errors.New("badblocks has ended")
		}
		if !r.OK {
			return r, errors.New("badblocks: " + r.Text)
		}
		return r, nil
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
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		return Reply{}, err
	}
	return p.reply()
}

// Kill ends it at once; the kernel fails what is still under way.
func (p *Process) Kill() { _ = p.cmd.Process.Kill() }

// Close lets it unmount and end.
func (p *Process) Close() error {
	_ = p.in.Close()
	select {
	case _, alive := <-p.out:
		if alive {
			return errors.New("badblocks answered what it was not asked")
		}
		return nil
	case <-time.After(replyLimit):
		p.Kill()
		return errors.New("badblocks did not end")
	}
}
