package driver

import (
	"bufio"
	"bytes"
	"encoding/json"
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

// What can become of a command beside an answer.
var (
	ErrHung = errors.New("no answer")
	ErrDied = errors.New("the process died")
)

const keptStderr = 16 << 10

// Trace, if set, gets every command, answer and line of standard error: to see by hand what led to an outcome.
var Trace io.Writer

// Subject is a running subject process.
type Subject struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	stderr tail
	exited chan struct{} // closed when the process is gone and all its answers are read

	mu      sync.Mutex
	pending map[uint64][]chan Reply // by partition; 0 for commands without one
}

// Start runs a subject. The first word of command is the program; it may be strace. The subject is killed with its runner.
func Start(command []string, env ...string) (*Subject, error) {
	s := &Subject{cmd: exec.Command(command[0], command[1:]...), exited: make(chan struct{}), pending: make(map[uint64][]chan Reply)}
	s.cmd.Env = append(s.cmd.Environ(), env...)
	s.cmd.Stderr = &s.stderr
	if Trace != nil {
		s.cmd.Stderr = io.MultiWriter(&s.stderr, Trace)
	}
	// A group of its own: strace and what it traces go together.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := s.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", command[0], err)
	}
	s.in = in
	go s.collect(out)
	return s, nil
}

func (s *Subject) collect(out io.Reader) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		s.trace("<", lines.Text())
		var r Reply
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			r.Text = "not JSON: " + lines.Text()
		}
		s.mu.Lock()
		if waiting := s.pending[r.Partition]; len(waiting) > 0 {
			waiting[0] <- r
			s.pending[r.Partition] = waiting[1:]
		}
		s.mu.Unlock()
	}
	_ = s.cmd.Wait()
	close(s.exited)
}

func (s *Subject) trace(direction, line string) {
	if Trace != nil {
		fmt.Fprintln(Trace, s.Pid(), direction, line)
	}
}

// Call is a command that was sent.
type Call struct {
	subject *Subject
	line    string
	answer  chan Reply
}

// Send writes a command and does not wait. Partitions count from 1.
func (s *Subject) Send(partition uint64, words ...any) *Call {
	line := fmt.Sprint(words[0])
	if partition > 0 {
		line += fmt.Sprint(" ", partition)
	}
	for _, w := range words[1:] {
		line += fmt.Sprint(" ", w)
	}
	c := &Call{subject: s, line: line, answer: make(chan Reply, 1)}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending[partition] = append(s.pending[partition], c.answer)
	s.trace(">", line)
	_, _ = io.WriteString(s.in, line+"\n") // a process that is gone is found by Wait
	return c
}

// Wait waits for the answer.
func (c *Call) Wait(limit time.Duration) (Reply, error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case r := <-c.answer:
		return r, nil
	case <-c.subject.exited:
		select {
		case r := <-c.answer:
			return r, nil
		default:
			return Reply{}, fmt.Errorf("%w at %q: %s", ErrDied, c.line, c.subject.Obituary())
		}
	case <-timer.C:
		return Reply{}, fmt.Errorf("%w to %q within %v", ErrHung, c.line, limit)
	}
}

// Obituary says how the process ended, with the telling line of what it printed.
func (s *Subject) Obituary() string {
	how := "it is running"
	if s.Gone() {
		how = s.cmd.ProcessState.String()
	}
	lines := strings.Split(s.stderr.String(), "\n")
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

// Stderr is the end of what the process printed.
func (s *Subject) Stderr() string { return s.stderr.String() }

// Gone tells whether the process has ended.
func (s *Subject) Gone() bool {
	select {
	case <-s.exited:
		return true
	default:
		return false
	}
}

// Pid is the process's own, or strace's.
func (s *Subject) Pid() int { return s.cmd.Process.Pid }

// Kill kills it, and waits until it is gone: ErrHung if the kernel does not let go of it.
func (s *Subject) Kill(limit time.Duration) error {
	_ = unix.Kill(-s.cmd.Process.Pid, unix.SIGKILL)
	_ = s.in.Close()
	select {
	case <-s.exited:
		return nil
	case <-time.After(limit):
		return fmt.Errorf("%w to SIGKILL within %v", ErrHung, limit)
	}
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
