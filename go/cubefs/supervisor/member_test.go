package supervisor

import (
	"errors"
	"testing"
	"time"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
	"github.com/bulkhead-wal/bulkhead/go/cubefs"
)

// blamedOwner says of its group that it is about to stop it for an earlier fault.
type blamedOwner struct{}

func (blamedOwner) Blamed() bool           { return true }
func (blamedOwner) Stop(cubefs.Fault, int) {}
func (blamedOwner) Gone() bool             { return false }
func (blamedOwner) Return(bool) error      { return errors.New("not now") }

// stoppedByOwner opens a group that stays unregistered, which is what its owner
// leaves when it has stopped it, lets it run for a time, and closes its log.
func stoppedByOwner(ran time.Duration, blamed, faulted bool) *Supervisor {
	s := New(Options{ByCall: true})
	group := Group{ID: 7, Owner: blamedOwner{}}
	o := s.begin("", cubefs.Config{}, group)
	o.succeeded(nil)
	o.opened, o.blamed = time.Now().Add(-ran), blamed
	if faulted {
		o.faulted(cubefs.Fault{Partition: group.ID, Cause: bulkhead.CauseIOError, State: bulkhead.StateUnavailable, Time: time.Now()}, nil)
	}
	o.closed()
	for busy := true; busy; time.Sleep(time.Millisecond) { // until it is down, or dropped
		s.mu.Lock()
		m := s.members[o.member.key]
		busy = m != nil && m.latest != nil && !m.latest.down
		s.mu.Unlock()
	}
	return s
}

// TestBlamedAndStoppedLater: an owner that loads a group and stops it for what an
// earlier opening had blamed does that at once. A group that is stopped later has
// run, and was stopped for another reason: it is not the supervisor's to bring back.
func TestBlamedAndStoppedLater(t *testing.T) {
	for ran, down := range map[time.Duration]bool{0: true, loadTakes - time.Second: true, loadTakes + time.Second: false} {
		if err := stoppedByOwner(ran, true, false).BringBack(7); (err == nil) != down {
			t.Errorf("stopped %v after its opening: %v", ran, err)
		}
	}
}

// TestBlamedLogFailsWhileLoaded: a group that its owner stops while it loads it, for
// what an earlier opening had blamed, is brought back, also if its log met a fault of
// its own before. One that was not blamed was stopped by an owner who knows.
func TestBlamedLogFailsWhileLoaded(t *testing.T) {
	for _, blamed := range []bool{true, false} {
		if err := stoppedByOwner(0, blamed, true).BringBack(7); (err == nil) != blamed {
			t.Errorf("blamed: %v: %v", blamed, err)
		}
	}
}

// TestRefusedWriteOfAForgottenGroup: a refused write of a log that was closed shows that
// the group runs on it, also if there was nothing left to watch.
func TestRefusedWriteOfAForgottenGroup(t *testing.T) {
	watched := make(chan int, 1)
	s := New(Options{ByCall: true})
	s.SetOptions(Options{ByCall: true, OnEvent: func(Event) { watched <- len(s.Report()) }})
	o := s.begin("", cubefs.Config{}, Group{ID: 7})
	o.succeeded(nil)
	o.closed()
	for left := 1; left > 0; time.Sleep(time.Millisecond) {
		s.mu.Lock()
		left = len(s.members)
		s.mu.Unlock()
	}
	o.faulted(cubefs.Fault{State: bulkhead.StateClosed, Err: &bulkhead.Error{Code: bulkhead.ErrClosed}}, nil)
	if n := <-watched; n != 1 {
		t.Errorf("%d groups are watched", n)
	}
}
