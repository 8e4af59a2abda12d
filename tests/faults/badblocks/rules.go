// Package badblocks serves one disk image through FUSE and makes chosen byte ranges of it fail, hang, be slow, or lie: report
// success and drop the write, or put it elsewhere. Under a loop device with direct I/O this is a disk with real block-layer
// errors in exactly those sectors. It can also record every write and flush, so that the states a power cut may leave behind
// can be made from the record.
package badblocks

import (
	"bytes"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/bulkhead-wal/bulkhead/tests/faults/clock"
)

// The operations a rule can apply to.
const (
	OpRead  = "read"
	OpWrite = "write"
	OpBoth  = "both" // reads and writes
	OpFlush = "flush"
)

// What a rule does.
const (
	ActionFail     = "fail"     // answer Errno; nothing is read or written
	ActionDelay    = "delay"    // wait Delay_ms, then carry on
	ActionHang     = "hang"     // wait until the rule is removed, then carry on
	ActionDrop     = "drop"     // report success, leave the range as it was
	ActionMisplace = "misplace" // report success, write what was meant for the range Shift bytes away from it
)

// Rule says what happens to requests that touch a byte range of the image.
type Rule struct {
	Name    string `json:"name"`
	Op      string `json:"op"`
	First   int64  `json:"first"`           // byte offset in the image
	Length  int64  `json:"length"`          // 0: to the end of the image
	Match   []byte `json:"match,omitempty"` // if set, only writes whose data contains these bytes
	Action  string `json:"action"`
	Errno   int    `json:"errno,omitempty"`
	DelayMS int    `json:"delay_ms,omitempty"`
	Shift   int64  `json:"shift,omitempty"`
	Times   int    `json:"times,omitempty"` // how often it applies; 0: for good
}

func (r *Rule) check() error {
	switch {
	case r.Name == "":
		return fmt.Errorf("a rule needs a name, by which it can be removed")
	case r.Op != OpRead && r.Op != OpWrite && r.Op != OpBoth && r.Op != OpFlush:
		return fmt.Errorf("rule %s: op %q; it must be read, write, both or flush", r.Name, r.Op)
	case r.Action == ActionFail && r.Errno <= 0:
		return fmt.Errorf("rule %s: fail needs an errno above 0", r.Name)
	case r.Action == ActionDelay && r.DelayMS <= 0:
		return fmt.Errorf("rule %s: delay needs delay_ms above 0", r.Name)
	case (r.Action == ActionDrop || r.Action == ActionMisplace) && r.Op != OpWrite:
		return fmt.Errorf("rule %s: %s applies to writes only", r.Name, r.Action)
	case r.Action == ActionMisplace && r.Shift == 0:
		return fmt.Errorf("rule %s: misplace needs a shift", r.Name)
	case r.First < 0 || r.Length < 0:
		return fmt.Errorf("rule %s: a range cannot be negative", r.Name)
	}
	switch r.Action {
	case ActionFail, ActionDelay, ActionHang, ActionDrop, ActionMisplace:
		return nil
	}
	return fmt.Errorf("rule %s: action %q; it must be fail, delay, hang, drop or misplace", r.Name, r.Action)
}

// overlap is the part of [off, off+size) that the rule is about; empty if end <= first.
func (r *Rule) overlap(off, size int64) (first, end int64) {
	first, end = off, off+size
	if r.First > first {
		first = r.First
	}
	if r.Length > 0 && r.First+r.Length < end {
		end = r.First + r.Length
	}
	return first, end
}

func (r *Rule) applies(op string, off int64, size int64, data []byte) bool {
	if r.Op != op && !(r.Op == OpBoth && (op == OpRead || op == OpWrite)) {
		return false
	}
	if op == OpFlush {
		return true
	}
	if first, end := r.overlap(off, size); end <= first {
		return false
	}
	return len(r.Match) == 0 || bytes.Contains(data, r.Match)
}

type activeRule struct {
	Rule
	left int           // how often it still applies; -1: for good
	gone chan struct{} // closed when it is removed
}

// Rules is the set of rules in force. The first one added that applies to a request decides.
type Rules struct {
	mu    sync.Mutex
	rules []*activeRule
	hits  map[string]int // of rules that are gone, too
	first map[string]int64
}

// Add puts a rule behind the others.
func (s *Rules) Add(r Rule) error {
	if err := r.check(); err != nil {
		return err
	}
	a := &activeRule{Rule: r, left: r.Times, gone: make(chan struct{})}
	if r.Times == 0 {
		a.left = -1
	}
	s.mu.Lock()
	s.rules = append(s.rules, a)
	s.mu.Unlock()
	return nil
}

// Remove takes away all rules of a name, all rules if it is empty, and lets go of what hangs in them.
func (s *Rules) Remove(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := s.rules[:0]
	for _, r := range s.rules {
		if name == "" || r.Name == name {
			close(r.gone)
			delete(s.first, r.Name)
		} else {
			kept = append(kept, r)
		}
	}
	s.rules = kept
}

// Hits tells how often each rule applied since it was first added.
func (s *Rules) Hits() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	hits := make(map[string]int, len(s.hits))
	for name, n := range s.hits {
		hits[name] = n
	}
	return hits
}

// First tells when each rule applied first since it was added: CLOCK_MONOTONIC, in ns.
func (s *Rules) First() map[string]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := make(map[string]int64, len(s.first))
	for name, at := range s.first {
		first[name] = at
	}
	return first
}

// take finds the rule for a request and counts it.
func (s *Rules) take(op string, off int64, size int64, data []byte) *activeRule {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.rules {
		if r.left == 0 || !r.applies(op, off, size, data) {
			continue
		}
		if r.left > 0 {
			r.left--
		}
		if s.hits == nil {
			s.hits, s.first = make(map[string]int), make(map[string]int64)
		}
		s.hits[r.Name]++
		if s.first[r.Name] == 0 {
			s.first[r.Name] = clock.NS()
		}
		return r
	}
	return nil
}

// wait does the waiting of delay and hang, and gives the errno of fail.
func (r *activeRule) wait() syscall.Errno {
	switch r.Action {
	case ActionFail:
		return syscall.Errno(r.Errno)
	case ActionDelay:
		select {
		case <-time.After(time.Duration(r.DelayMS) * time.Millisecond):
		case <-r.gone:
		}
	case ActionHang:
		<-r.gone
	}
	return 0
}
