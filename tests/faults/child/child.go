// Package child runs a program that takes commands on standard input, one line each, and answers by lines on standard output.
package child

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrStays means that the kernel does not let go of a process that was killed.
var ErrStays = errors.New("not gone after SIGKILL")

const (
	keptStderr = 16 << 10
	longest    = 64 << 20 // line, in bytes
)

// Trace, if set, gets every line in and out and what goes to standard error: to see by hand what led to an outcome.
var Trace io.Writer

// Process is a running program.
type Process struct {
	Exited chan struct{} // closed when it is gone and all its lines are read
	cmd    *exec.Cmd
	in     io.WriteCloser
	stderr tail
}

// Start starts a program; its lines go to line, one at a time. It gets a process group of its own, so that what it starts goes
// with it.
func Start(command []string, env []string, line func([]byte)) (*Process, error) {
	p := &Process{Exited: make(chan struct{}), cmd: exec.Command(command[0], command[1:]...)}
	p.cmd.Env = append(p.cmd.Environ(), env...)
	p.cmd.Stderr = &p.stderr
	if Trace != nil {
		p.cmd.Stderr = io.MultiWriter(&p.stderr, Trace)
	}
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
		return nil, fmt.Errorf("cannot start %s: %w", command[0], err)
	}
	p.in = in
	go p.collect(out, line)
	return p, nil
}

func (p *Process) collect(out io.Reader, line func([]byte)) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, longest)
	for lines.Scan() {
		p.trace("<", lines.Text())
		line(lines.Bytes())
	}
	_ = p.cmd.Wait()
	close(p.Exited)
}

func (p *Process) trace(direction, line string) {
	if Trace != nil {
		fmt.Fprintln(Trace, p.Pid(), direction, line)
	}
}

// Send writes a line. A process that is gone is seen by Exited.
func (p *Process) Send(line string) {
	p.trace(">", line)
	_, _ = io.WriteString(p.in, line+"\n")
}

// End closes standard input and waits for the process to end by itself.
func (p *Process) End(limit time.Duration) bool {
	_ = p.in.Close()
	return p.goes(limit)
}

// Kill kills it, and waits until it is gone: ErrStays if the kernel does not let go of it.
func (p *Process) Kill(limit time.Duration) error {
	p.Strike()
	_ = p.in.Close()
	if !p.goes(limit) {
		return fmt.Errorf("%w within %v", ErrStays, limit)
	}
	return nil
}

// Strike kills it and does not wait.
func (p *Process) Strike() { _ = unix.Kill(-p.Pid(), unix.SIGKILL) }

func (p *Process) goes(limit time.Duration) bool {
	select {
	case <-p.Exited:
		return true
	case <-time.After(limit):
		return false
	}
}

// Gone tells whether the process has ended.
func (p *Process) Gone() bool { return p.goes(0) }

// Pid is the process's own, or that of the program it runs under.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Stderr is the end of what the process printed.
func (p *Process) Stderr() string { return p.stderr.String() }

// Obituary says how the process ended, with the telling line of what it printed.
func (p *Process) Obituary() string {
	how := "it is running"
	if p.Gone() {
		how = p.cmd.ProcessState.String()
	}
	lines := strings.Split(p.Stderr(), "\n")
	for i, line := range lines {
		lower := strings.ToLower(line)
		if strings.Contains(lower, "panic") || strings.HasPrefix(lower, "fatal") || strings.Contains(lower, "signal") {
			if strings.HasSuffix(line, ":") && i+1 < len(lines) { // Rust says where, and on the next line what
				line += " " + lines[i+1]
			}
			return how + ": " + strings.TrimSpace(line)
		}
	}
	return how
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	kept bytes.Buffer
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept.Write(b)
	if over := t.kept.Len() - keptStderr; over > 0 {
		t.kept.Next(over)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.kept.String()
}
