package supervisor

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"time"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
	"github.com/bulkhead-wal/bulkhead/go/cubefs"
)

// bringBack makes one try, when it is time.
func (m *member) bringBack(o *opening) {
	if !m.wait(o) || !m.takeTurn(o) {
		m.returnedByOther(o)
	}
}

// takeTurn makes one try when it is its turn, and returns false if the group may be back
// without it.
func (m *member) takeTurn(o *opening) bool {
	slots := m.sup.slotsOf(o.dir)
	slots <- struct{}{}
	defer func() { <-slots }()
	gone := false
	_ = guard(func() error { gone = o.group.Owner.Gone(); return nil }) // it is asked again
	m.sup.mu.Lock()
	fault, began := o.fault, m.since
	called := m.called
	attach := called || o.storage == nil || o.closedUnused()
	m.called = false
	if gone {
		m.tell(Event{Kind: Gone, Fault: fault}, o, nil)
		m.drop(o)
	}
	m.sup.mu.Unlock()
	if gone {
		return true
	}
	err := m.try(o, attach)
	if err == errOther {
		if called { // for the next try, if that one fails
			m.sup.mu.Lock()
			m.called = true
			m.sup.mu.Unlock()
			m.pause(lookForOther)
		}
		return false
	}
	if left := m.leftOpen(o, err); left != nil {
		left.CloseUnused() // a group may still be made of it
	}
	m.sup.mu.Lock()
	defer m.sup.mu.Unlock()
	m.trying = false
	if m.latest == o && !o.down {
		return true // the group was made on its log meanwhile, and is dead
	}
	m.delay = m.nextDelay(err)
	if err != nil {
		m.returnFailed(o, fault, err)
		return false // the owner may have started it all the same
	}
	m.drop(o)
	m.returned, m.since, m.lastErr = time.Now(), time.Time{}, nil
	if m.latest != nil && m.latest.isFault { // again, already
		m.since = m.latest.fault.Time
	}
	m.tell(Event{Kind: Returned, Fault: fault, Down: time.Since(began)}, o, nil)
	return true
}

// returnedByOther tells of the return of a group whose log another hand has opened, once
// it is made.
func (m *member) returnedByOther(o *opening) {
	for begun := time.Now(); time.Since(begun) < makingTakes; m.pause(lookForOther) {
		made := registered(m.key.server, m.key.id)
		m.sup.mu.Lock()
		now := m.latest
		sound := now != nil && now != o && !now.isFault && !now.isClosed
		if made && now == o && o.down {
			o.down = !o.closedUnused() // else it was made of that log, and is dead
			sound = o.down             // it was made of a log that the supervisor did not open
		}
		if sound && made {
			m.tell(Event{Kind: Returned, Fault: o.fault, Down: time.Since(m.since)}, o, nil)
			m.drop(o)
			m.returned, m.since, m.lastErr = time.Now(), time.Time{}, nil
		}
		m.sup.mu.Unlock()
		if made || !sound {
			return
		}
	}
}

// leftOpen returns the log that a failed start has opened and of which there is no
// group: nobody else closes it.
func (m *member) leftOpen(o *opening, err error) (left *cubefs.Storage) {
	if !errors.As(err, new(startError)) || registered(m.key.server, m.key.id) {
		return nil
	}
	m.sup.mu.Lock()
	defer m.sup.mu.Unlock()
	if m.latest == nil {
		m.latest = o
	} else if m.latest != o && !m.latest.down {
		left = m.latest.storage
		if errors.Is(err, errNotRegistered) { // the owner has a new partition, and did not hear that it ended
			o.group = m.latest.group
		}
		m.latest = o
	}
	return left
}

// returnFailed tells of a try that failed, but not each time that it fails for the same
// reason: a dead disk has hundreds of logs. It needs the supervisor's lock.
func (m *member) returnFailed(o *opening, fault cubefs.Fault, err error) {
	news := m.lastErr == nil || m.lastErr.Error() != err.Error()
	m.lastErr = err
	if e := (Event{Kind: ReturnFailed, Fault: fault, Err: err}); news || time.Since(m.complained) > complaintEvery {
		m.complained = time.Now()
		m.tell(e, o, nil)
	} else {
		m.sup.totals.add(e)
	}
}

// startError is an owner's failure to start a group whose log is good.
type startError struct{ error }

func (e startError) Unwrap() error { return e.error }

// nextDelay needs the supervisor's lock.
func (m *member) nextDelay(err error) time.Duration {
	if errors.As(err, new(startError)) && !errors.Is(err, errNotReady) && !errors.Is(err, errNotLoaded) {
		return shorter(2*m.delay, longestAfterStart)
	}
	most := longestLook
	if m.patience > most {
		most = m.patience
	}
	return shorter(2*m.delay, shorter(most, m.sup.options.LongestDelay))
}

// wait returns true when a try is due, and false if there is something else to
// look at.
func (m *member) wait(o *opening) bool {
	m.sup.mu.Lock()
	if m.delay < m.sup.options.FirstDelay {
		m.delay = m.sup.options.FirstDelay
	}
	timer := time.NewTimer(m.delay)
	m.sup.mu.Unlock()
	defer timer.Stop()
	for {
		m.sup.mu.Lock()
		called, counts, due := m.called, m.latest == o && o.down, timer.C
		if m.sup.options.ByCall || o.byCall {
			due = nil
		}
		m.sup.mu.Unlock()
		if called || !counts {
			return counts
		}
		select {
		case <-due:
			return m.counts(o)
		case <-m.wake:
		}
	}
}

// errOther ends a try because another hand has opened the log, or is about to, or has made
// the group.
var errOther = errors.New("another hand is at the group")

// alone returns errOther if a try must end, and notes whether it starts the group next.
func (m *member) alone(o *opening, starts bool) error {
	made := registered(m.key.server, m.key.id)
	m.sup.mu.Lock()
	defer m.sup.mu.Unlock()
	if m.latest != o || m.begun > 0 || made {
		return errOther
	}
	m.trying = starts
	return nil
}

// try brings the group back if its log is good.
func (m *member) try(o *opening, attach bool) error {
	if err := m.alone(o, false); err != nil {
		return err
	}
	if err := probe(o); err != nil {
		return err
	}
	if err := m.alone(o, true); err != nil { // the probe may have hung with the disk
		return err
	}
	err := guard(func() error { return o.group.Owner.Return(attach) })
	if err == nil && !registered(m.key.server, m.key.id) {
		err = errNotRegistered
	}
	if err != nil {
		return startError{err}
	}
	return nil
}

// probe opens the log, has it healed if need be, and closes it: a group is not
// started on a log that fails again.
func probe(o *opening) error {
	// First: a log that is opened without room is found good, and says nothing of its group.
	if err := room(o.dir, o.isNew); err != nil {
		return err
	}
	engine := o.config.Engine
	if engine == nil {
		var err error
		if engine, err = cubefs.SharedEngine(); err != nil {
			return err
		}
	}
	p, err := engine.OpenPartition(bulkhead.PartitionConfig{Path: o.dir, ID: o.group.ID, Mode: o.config.Mode,
		Disposition: bulkhead.OpenExisting, KnownIndex: o.config.AppliedIndex})
	// A log of CubeFS's WAL whose import failed, one that a try left open because no group
	// could be made, or one that is still to be made: only the next open tells.
	if errors.Is(err, bulkhead.ErrNeedsImport) || errors.Is(err, bulkhead.ErrAlreadyOpen) || o.isNew && errors.Is(err, bulkhead.ErrNotFound) {
		return nil
	}
	// The same: CubeFS's WAL has it open in this process, perhaps.
	if meta, statErr := os.Lstat(filepath.Join(o.dir, "META")); errors.Is(err, bulkhead.ErrLocked) && statErr == nil && meta.Mode().IsRegular() {
		return nil
	}
	if err != nil {
		return err
	}
	status, err := p.Status()
	if err == nil && status.State != bulkhead.StateReadWrite {
		err = p.Recover()
	}
	if closeErr := p.Close(); err == nil {
		err = closeErr
	}
	return err
}

// roomBytes is what must be free for a log to take writes for a while: what an
// engine keeps in reserve on a disk (1.1 MiB), and a few small segments.
const roomBytes = 4 << 20

const oTmpfile = 0x400000 | syscall.O_DIRECTORY // O_TMPFILE, which package syscall does not have

// room tells whether the filesystem has space for a write, by allocating some in
// a file without a name. A filesystem that cannot do that is not asked. If the directory
// is still to be made, the one that it will be in is asked.
func room(dir string, isNew bool) error {
	if _, err := os.Lstat(dir); isNew && os.IsNotExist(err) {
		dir = filepath.Dir(dir)
	}
	fd, err := syscall.Open(dir, oTmpfile|syscall.O_RDWR|syscall.O_CLOEXEC, 0o600)
	if err == nil {
		err = syscall.Fallocate(fd, 0, 0, roomBytes)
		_ = syscall.Close(fd) // the file was never anybody's
	}
	switch {
	case errors.Is(err, syscall.EOPNOTSUPP), errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.EINVAL):
		return nil
	case err != nil:
		return &os.PathError{Op: "allocate space in", Path: dir, Err: err}
	}
	return nil
}
