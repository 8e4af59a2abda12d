package supervisor

import (
	"errors"
	"fmt"
	"time"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
	"github.com/bulkhead-wal/bulkhead/go/cubefs"
	"github.com/cubefs/cubefs/depends/tiglabs/raft"
)

// member is one group on one server, over all its openings. The supervisor's
// mutex guards it.
type member struct {
	sup     *Supervisor
	key     key
	latest  *opening // nil: nothing to watch
	machine raft.StateMachine
	tending bool // a goroutine of tend is at work
	called  bool // BringBack was called
	wake    chan struct{}

	delay    time.Duration // before the next try
	patience time.Duration // before the first try of this round: grows if the group does not stay up
	since    time.Time     // of the first fault, until the group is back
	returned time.Time
	lastErr  error
}

// opening is one opening of the log.
type opening struct {
	member  *member
	group   Group
	dir     string
	config  cubefs.Config
	storage *cubefs.Storage // nil if it failed

	fault    cubefs.Fault
	isFault  bool
	isClosed bool
	blamed   bool // its owner will stop it for what an earlier opening has met
	opened   time.Time
	untold   bool // that it is down
	down     bool // the group is stopped, or was never made, and is to be brought back
}

func (s *Supervisor) memberOf(group Group) *member {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := key{group.Server, group.ID}
	m := s.members[k]
	if m == nil {
		m = &member{sup: s, key: k, wake: make(chan struct{}, 1)}
		s.members[k] = m
	}
	m.machine = group.StateMachine
	return m
}

func (m *member) wakeUp() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// replace makes an opening the one that counts.
func (m *member) replace(o *opening) {
	m.sup.mu.Lock()
	m.latest = o
	m.sup.members[m.key] = m
	m.wakeUp()
	m.look()
	m.sup.mu.Unlock()
}

// look starts tend if there is something to do, and forgets a group that nobody
// needs to watch.
func (m *member) look() {
	if m.tending {
		return
	}
	switch {
	case m.latest == nil:
		delete(m.sup.members, m.key)
	case m.latest.needsCare():
		m.tending = true
		go m.tend()
	}
}

func (o *opening) needsCare() bool {
	return o.group.Owner != nil && (o.down || o.isFault && o.isClosed)
}

// faulted is called when the log has met a fault. What is done about it comes
// after it is told.
func (o *opening) faulted(f cubefs.Fault) {
	m := o.member
	m.tell(Event{Kind: Faulted, Fault: f}, o)
	m.sup.mu.Lock()
	defer m.sup.mu.Unlock()
	if !o.isFault || f.State != bulkhead.StateClosed { // what Close could not write follows from what was first
		o.fault, o.isFault = f, true
	}
	if m.since.IsZero() {
		m.since = f.Time
	}
	if m.latest == nil { // it was closed before this could be told
		m.latest = o
		m.sup.members[m.key] = m
	}
	m.look()
}

// loadTakes is how long after its opening a group that was blamed is stopped by
// the datanode that loads it, at the latest. One that is stopped later has run, and
// was stopped for something else.
const loadTakes = time.Minute

func (o *opening) isBlamed() bool {
	owner, ok := o.group.Owner.(interface{ Blamed() bool })
	return ok && owner.Blamed()
}

// closed is called when raft, or whoever, has closed the log.
func (o *opening) closed() {
	stillBlamed := o.blamed && time.Since(o.opened) < loadTakes && o.isBlamed()
	// The server may hold its lock while it waits for this: nothing of it is asked.
	m := o.member
	m.sup.mu.Lock()
	defer m.sup.mu.Unlock()
	o.isClosed, o.blamed = true, stillBlamed
	if m.latest == o && !o.isFault && !o.down {
		if o.blamed {
			o.stoppedForBlame()
		} else {
			m.latest = nil
		}
	}
	m.look()
}

// stoppedForBlame has a group brought back that was stopped with a sound log.
func (o *opening) stoppedForBlame() {
	o.fault = cubefs.Fault{Partition: o.group.ID, Dir: o.dir, State: bulkhead.StateClosed, Cause: bulkhead.CauseIOError,
		Time: time.Now(), Err: errBlamedBefore}
	o.isFault, o.down, o.untold = true, true, true
	o.member.since = o.fault.Time
}

// failed is called when the log could not be opened.
func (o *opening) failed(err error) {
	o.fault = cubefs.FaultOf(err)
	o.fault.Partition, o.fault.Dir = o.group.ID, o.dir
	m := o.member
	if o.group.Owner == nil || !passes(err) {
		m.sup.mu.Lock()
		m.look()
		m.sup.mu.Unlock()
		return
	}
	o.isFault, o.down = true, true
	m.sup.mu.Lock()
	quiet := m.tending // a try to bring it back tells its outcome itself
	if m.since.IsZero() {
		m.since = o.fault.Time
	}
	m.sup.mu.Unlock()
	if !quiet {
		m.tell(Event{Kind: Faulted, Fault: o.fault}, o)
	}
	m.replace(o)
}

// tend does what is to be done for a group, until nothing is.
func (m *member) tend() {
	for {
		m.sup.mu.Lock()
		o := m.latest
		if o == nil || !o.needsCare() {
			m.tending = false
			m.look()
			m.sup.mu.Unlock()
			return
		}
		down, untold, fault := o.down, o.untold, o.fault
		o.untold = false
		m.sup.mu.Unlock()
		if untold {
			m.tell(Event{Kind: Stopped, Fault: fault}, o)
		}
		if down {
			m.bringBack(o)
		} else {
			m.stop(o)
		}
	}
}

// counts tells whether an opening is still the one that counts.
func (m *member) counts(o *opening) bool {
	m.sup.mu.Lock()
	defer m.sup.mu.Unlock()
	return m.latest == o
}

// drop ends the watch of an opening.
func (m *member) drop(o *opening) {
	m.sup.mu.Lock()
	if m.latest == o {
		m.latest = nil
	}
	m.since, m.lastErr = time.Time{}, nil
	m.sup.mu.Unlock()
}

// tell counts an event and calls the owner's program.
func (m *member) tell(e Event, o *opening) {
	e.ID, e.Dir, e.Time = o.group.ID, o.dir, time.Now()
	m.sup.mu.Lock()
	m.sup.totals.add(e)
	callback := m.sup.options.OnEvent
	m.sup.mu.Unlock()
	if callback != nil {
		_ = guard(func() error { callback(e); return nil }) // its panic is its own
	}
}

// guard turns a panic of the owner's code into an error.
func guard(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return f()
}

var errNotRegistered = errors.New("the group was started, but is not registered")
