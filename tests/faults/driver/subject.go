package driver

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/bulkhead-wal/bulkhead/tests/faults/child"
)

// What can become of a command beside an answer.
var (
	ErrHung = errors.New("no answer")
	ErrDied = errors.New("the process died")
)

// Subject is a running subject process.
type Subject struct {
	*child.Process

	mu      sync.Mutex
	pending map[uint64][]chan Reply // by partition; 0 for commands without one
}

// Start runs a subject. The first word of command is the program; it may be one that runs another.
func Start(command []string, env ...string) (*Subject, error) {
	s := &Subject{pending: make(map[uint64][]chan Reply)}
	var err error
	s.Process, err = child.Start(command, env, s.answer)
	return s, err
}

func (s *Subject) answer(line []byte) {
	var r Reply
	if err := json.Unmarshal(line, &r); err != nil {
		r.Text = "not JSON: " + string(line)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if waiting := s.pending[r.Partition]; len(waiting) > 0 {
		waiting[0] <- r
		s.pending[r.Partition] = waiting[1:]
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
	s.Process.Send(line)
	return c
}

// Wait waits for the answer.
func (c *Call) Wait(limit time.Duration) (Reply, error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case r := <-c.answer:
		return r, nil
	case <-c.subject.Exited:
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

// Kill kills it, and waits until it is gone: ErrHung if the kernel does not let go of it.
func (s *Subject) Kill(limit time.Duration) error {
	if err := s.Process.Kill(limit); err != nil {
		return fmt.Errorf("%w: %v", ErrHung, err)
	}
	return nil
}
