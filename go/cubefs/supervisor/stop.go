package supervisor

import (
	"errors"
	"time"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
	"github.com/bulkhead-wal/bulkhead/go/cubefs"
)

const (
	firstStopDelay   = 20 * time.Millisecond
	longestStopDelay = time.Second
	// loadTakes is how long after its opening a group that was blamed is stopped by
	// the datanode that loads it, at the latest. One that is stopped later has run, and
	// was stopped for something else.
	loadTakes = time.Minute
	// ownerTakes is how long an owner may take to unregister a group that ended for
	// something that is not the log's: an error of its state machine, say.
	ownerTakes = 2 * time.Second
	// makingTakes is how long after a fault of its log a group that is not registered
	// may still be registered.
	makingTakes = 10 * time.Second
	// lookForOther is how often it is looked whether another hand has made a group.
	lookForOther = 50 * time.Millisecond
)

// errEnded is the fault of a group that raft has ended although its log is good.
var errEnded = errors.New("raft has ended the group and left it registered, and its log knows of no fault: the cause is in raft's log")

// errUnused is the fault of a group that was made of a log after another load had closed it.
var errUnused = errors.New("the group was loaded twice at a time, and most likely runs on a log that the second load has closed: its first write would end it")

// stop has a group unregistered that raft has left for dead. It is dead if it is
// registered although its log is closed: who stops a group unregisters it first.
func (m *member) stop(o *opening) {
	dead := registered(m.key.server, m.key.id)
	m.sup.mu.Lock()
	if m.latest != o {
		m.sup.mu.Unlock() // opened anew meanwhile: the registered group may be that one's
		return
	}
	switch left := ownerTakes - time.Since(o.closedAt); {
	case !dead:
		m.sup.mu.Unlock()
		m.stoppedByOwner(o)
	case !o.isFault && left > 0:
		m.sup.mu.Unlock()
		m.pause(left)
	case !o.isFault:
		m.ended(o)
		m.sup.mu.Unlock()
	case o.group.Owner == nil:
		o.settled = true
		m.sup.mu.Unlock()
	default:
		fault := o.fault
		m.sup.mu.Unlock()
		m.unregister(o, fault)
	}
}

// ended tells of a group that is dead although its log knows of no fault. It needs the
// supervisor's lock.
func (m *member) ended(o *opening) {
	why, byCall := errEnded, true // it would end for the same again
	if u := m.unused; u != nil && o.closedAt.Sub(o.opened) < makingTakes {
		// Raft has closed this one because the group exists, most likely: it runs on the one before.
		u.twin = o
		o, why, byCall = u, errUnused, false
		m.latest, m.unused, o.down = o, nil, false
	}
	o.fault = cubefs.Fault{Partition: o.group.ID, Dir: o.dir, State: bulkhead.StateClosed, Time: time.Now(), Err: why}
	o.isFault, o.byCall = true, o.byCall || byCall
	m.since = o.fault.Time
	m.tell(Event{Kind: Faulted, Fault: o.fault}, o, nil)
}

// stoppedByOwner ends the watch of a group that is not registered any more: its
// owner knows what it did, and it is not brought back; but for one that the datanode
// stopped while it loaded it, for what an earlier opening had blamed, whatever its log
// met meanwhile.
func (m *member) stoppedByOwner(o *opening) {
	forBlame := o.blamed && o.closedAt.Sub(o.opened) < loadTakes && o.isBlamed()
	m.sup.mu.Lock()
	defer m.sup.mu.Unlock()
	switch {
	case m.latest != o:
		return
	case !forBlame:
		m.drop(o)
		return
	case !o.isFault:
		o.fault = cubefs.Fault{Partition: o.group.ID, Dir: o.dir, State: bulkhead.StateClosed, Cause: bulkhead.CauseIOError,
			Time: time.Now(), Err: errBlamedBefore}
		o.isFault = true
		m.since = o.fault.Time
	}
	m.goesDown(o)
	m.tell(Event{Kind: Stopped, Fault: o.fault}, o, nil)
}

// goesDown begins a round of tries. Nothing of the last one counts: no call that came too
// late for it, nor how long its tries have waited for each other. It needs the
// supervisor's lock.
func (m *member) goesDown(o *opening) {
	o.down, m.called, m.delay = true, false, 0
}

// unregister has the owner stop a dead group, until it is.
func (m *member) unregister(o *opening, fault cubefs.Fault) {
	queue := proposalsOf(m.key.server, m.key.id)
	delay := firstStopDelay
	for attempt := 0; registered(m.key.server, m.key.id); attempt++ {
		if attempt > 0 {
			time.Sleep(delay)
			delay = shorter(2*delay, longestStopDelay)
		}
		if !m.counts(o) {
			return
		}
		owner := o.group.Owner
		if o.twin != nil && o.twin.group.Owner != nil && attempt%2 == 1 {
			owner = o.twin.group.Owner
		}
		_ = guard(func() error { owner.Stop(fault, attempt); return nil }) // it is called again
	}
	m.stopped(o, queue.count())
}

// stopDoomed has a group unregistered that raft has not found dead: nothing was written
// since its log's medium failed.
func (m *member) stopDoomed(o *opening) {
	runs := registered(m.key.server, m.key.id)
	m.sup.mu.Lock()
	doomed, fault := m.latest == o && o.isDoomed(), o.fault
	m.sup.mu.Unlock()
	switch {
	case !doomed: // healed or closed meanwhile
	case runs:
		m.unregister(o, fault)
	default: // its owner is about to close the log
		m.pause(lookForOther)
	}
}

// unmade looks after a log that has failed before its group was registered. Raft
// closes no log of which it could make no group.
func (m *member) unmade(o *opening) {
	made := registered(m.key.server, m.key.id)
	m.sup.mu.Lock()
	counts := m.latest == o
	o.made = counts && made
	left := makingTakes - time.Since(o.fault.Time)
	m.sup.mu.Unlock()
	switch {
	case !counts, made:
	case left > 0:
		m.pause(left)
	default:
		o.storage.CloseUnused() // the group may still be made
		m.stopped(o, 0)
	}
}

// stopped has a group brought back that is unregistered now, or was never made.
func (m *member) stopped(o *opening, unanswered int) {
	m.sup.mu.Lock()
	defer m.sup.mu.Unlock()
	m.goesDown(o)
	if m.since.IsZero() { // its log has healed while it was being stopped
		m.since = o.fault.Time
	}
	if m.patience == 0 || time.Since(m.returned) > m.sup.options.LongestDelay {
		m.patience = m.sup.options.FirstDelay
	} else {
		m.patience = shorter(2*m.patience, m.sup.options.LongestDelay)
	}
	m.delay = m.patience
	m.tell(Event{Kind: Stopped, Fault: o.fault, Unanswered: unanswered}, o, nil)
}

func shorter(a, b time.Duration) time.Duration {
	if a < b {
		return a
	}
	return b
}
