package supervisor

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
	"github.com/bulkhead-wal/bulkhead/go/cubefs"
)

// opening is one opening of the log of a group. What may change is guarded by the
// supervisor's mutex.
type opening struct {
	member *member
	group  Group
	dir    string
	config cubefs.Config

	storage  *cubefs.Storage // nil if it failed, or is not over
	opened   time.Time
	blamed   bool // its owner will stop it for what an earlier opening has met
	fault    cubefs.Fault
	isFault  bool // the log has met it, and was not healed since
	isClosed bool
	closedAt time.Time
	made     bool     // its group was seen
	settled  bool     // nothing more can be done about it
	down     bool     // the group is stopped, or was never made, and is to be brought back
	isNew    bool     // there was no log when it failed: the first is to be made
	byCall   bool     // but not before BringBack is called
	twin     *opening // the group may run on this one instead: its owner is called, too
}

// begin is called before a log is opened, and succeeded or failed afterwards.
func (s *Supervisor) begin(dir string, config cubefs.Config, group Group) *opening {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.memberOf(group)
	m.begun++
	return &opening{member: m, group: group, dir: dir, config: config}
}

func (o *opening) succeeded(opened *cubefs.Storage) {
	blamed := o.isBlamed()
	m := o.member
	m.sup.mu.Lock()
	defer m.sup.mu.Unlock()
	o.storage, o.opened, o.blamed = opened, time.Now(), blamed
	if o.isClosed { // by another opening meanwhile
		m.noteUnused(o)
	} else {
		m.open = append(m.open, o)
		m.replace(o)
	}
	m.begun--
	m.look()
}

// replace makes an opening the one that counts. It needs the supervisor's lock.
func (m *member) replace(o *opening) {
	m.latest = o
	if o.isFault && m.since.IsZero() {
		m.since = o.fault.Time
	}
	m.wakeUp()
}

// failed is called when the log could not be opened.
func (o *opening) failed(err error) {
	m := o.member
	o.isNew = !errors.Is(err, bulkhead.ErrStalled) && holdsNone(o.dir) // a disk that has answered does it again
	m.sup.mu.Lock()
	defer m.sup.mu.Unlock()
	m.begun--
	if o.group.Owner != nil && passes(err) {
		o.fault = cubefs.FaultOf(err)
		o.fault.Partition, o.fault.Dir = o.group.ID, o.dir
		o.isFault = true
		if m.trying || m.latest != nil && m.latest.down {
			o.down = true // still
		} else {
			m.goesDown(o)
		}
		if !m.trying { // a try to bring it back tells its outcome itself
			m.tell(Event{Kind: Faulted, Fault: o.fault}, o, nil)
		}
		m.replace(o)
	}
	m.look()
}

// holdsNone tells that there is no log in a directory, of Bulkhead or of CubeFS's WAL, whose
// META is a file.
func holdsNone(dir string) bool {
	_, err := os.Lstat(filepath.Join(dir, "root"))
	meta, metaErr := os.Lstat(filepath.Join(dir, "META"))
	return os.IsNotExist(err) && (os.IsNotExist(metaErr) || metaErr == nil && meta.IsDir())
}

func (o *opening) needsCare() bool {
	switch {
	case o.settled:
		return false
	case o.down, o.isClosed:
		return true
	case o.made:
		return o.isDoomed()
	default: // with a full disk a group is made all the same
		return o.isFault && o.group.Owner != nil && o.fault.State != bulkhead.StateReadOnly
	}
}

// isDoomed tells of a group that runs on a log whose medium has failed: its next
// write would end it, and until then it acknowledges heartbeats. It needs the
// supervisor's lock.
func (o *opening) isDoomed() bool {
	medium := o.fault.Cause == bulkhead.CauseIOError || o.fault.Cause == bulkhead.CauseReadOnlyFilesystem
	return o.isFault && !o.isClosed && o.group.Owner != nil && o.fault.State == bulkhead.StateUnavailable && medium
}

// faulted is called when the log has met a fault; also is told of it, too.
func (o *opening) faulted(f cubefs.Fault, also func(cubefs.Fault)) {
	m := o.member
	refused := errors.Is(f.Err, bulkhead.ErrClosed)
	runs := refused && registered(m.key.server, m.key.id)
	m.sup.mu.Lock()
	defer m.sup.mu.Unlock()
	if !o.isFault || f.State != bulkhead.StateClosed { // what Close could not write follows from what was first
		o.fault, o.isFault = f, true
	}
	o.byCall = o.byCall || f.Cause == bulkhead.CauseFenced // its close ends the fence
	// Raft writes to a log that was closed as unused: the group runs on this one, whatever
	// has become of the others.
	if refused && o.isClosed && (m.latest == nil || m.latest.down && runs || m.latest.isClosed && !m.latest.down) {
		m.latest, o.down = o, false
		if m.sup.members[m.key] == nil { // nothing was left to watch
			m.sup.members[m.key] = m
		}
	}
	if m.latest == o && m.since.IsZero() {
		m.since = f.Time
	}
	m.tell(Event{Kind: Faulted, Fault: f}, o, also)
	m.wakeUp()
	m.look()
}

// healed is called when the log takes writes again. If raft has ended its group for
// the fault all the same, that shows when it is closed.
func (o *opening) healed() {
	m := o.member
	m.sup.mu.Lock()
	defer m.sup.mu.Unlock()
	if !o.isFault || o.isClosed || o.fault.State == bulkhead.StateReadWrite { // the last was a call's, which has failed
		return
	}
	o.isFault, o.byCall = false, false
	if m.latest == o {
		m.since = time.Time{}
	}
	m.wakeUp()
}

// closed is called when raft, or whoever, has closed the log.
func (o *opening) closed() {
	m := o.member
	m.sup.mu.Lock()
	defer m.sup.mu.Unlock()
	o.isClosed, o.closedAt = true, time.Now()
	m.noteUnused(o)
	for i, other := range m.open {
		if other == o {
			m.open = append(m.open[:i:i], m.open[i+1:]...)
			break
		}
	}
	if !o.down && len(m.open) > 0 {
		m.drop(o) // it was opened for a group that runs on another log already
	}
	m.wakeUp()
	m.look()
}

// noteUnused needs the supervisor's lock.
func (m *member) noteUnused(o *opening) {
	if o.closedUnused() {
		m.unused = o
	}
}

func (o *opening) closedUnused() bool { return o.storage != nil && o.storage.ClosedUnused() }

func (o *opening) isBlamed() (blamed bool) {
	owner, ok := o.group.Owner.(interface{ Blamed() bool })
	return ok && guard(func() error { blamed = owner.Blamed(); return nil }) == nil && blamed
}
