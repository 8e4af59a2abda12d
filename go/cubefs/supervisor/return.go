package supervisor

import (
	"errors"
	"os"
	"syscall"
	"time"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
	"github.com/bulkhead-wal/bulkhead/go/cubefs"
	"github.com/cubefs/cubefs/depends/tiglabs/raft"
)

// bringBack makes one try, when it is time.
func (m *member) bringBack(o *opening) {
	if !m.wait(o) {
		return
	}
	m.sup.mu.Lock()
	fault, began := o.fault, m.since
	m.sup.mu.Unlock()
	if o.group.Owner.Gone() {
		m.drop(o)
		m.tell(Event{Kind: Gone, Fault: fault}, o)
		return
	}
	m.sup.slots <- struct{}{}
	err := m.try(o)
	<-m.sup.slots
	runs := registered(m.key.server, m.key.id)

	m.sup.mu.Lock()
	if err == nil {
		m.returned, m.since, m.lastErr = time.Now(), time.Time{}, nil
		if m.latest == o {
			m.latest = nil
		}
	} else {
		m.lastErr = err
		if !runs && (m.latest == nil || !m.latest.needsCare()) {
			m.latest = o // the try opened the log, but there is no group
		}
	}
	m.delay = m.nextDelay()
	m.sup.mu.Unlock()
	if err != nil {
		m.tell(Event{Kind: ReturnFailed, Fault: fault, Err: err}, o)
		return
	}
	m.tell(Event{Kind: Returned, Fault: fault, Down: time.Since(began)}, o)
}

// nextDelay needs the supervisor's lock.
func (m *member) nextDelay() time.Duration {
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
	byCall, delay := m.sup.options.ByCall, m.delay
	m.sup.mu.Unlock()
	due := make(<-chan time.Time)
	if !byCall {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		due = timer.C
	}
	for {
		select {
		case <-due:
			return m.counts(o)
		case <-m.wake:
			m.sup.mu.Lock()
			called, counts, changed := m.called, m.latest == o, m.sup.options.ByCall != byCall
			m.called = false
			m.sup.mu.Unlock()
			if called || !counts || changed {
				return called && counts
			}
		}
	}
}

// try brings the group back if its log is good.
func (m *member) try(o *opening) error {
	if !m.counts(o) || registered(m.key.server, m.key.id) {
		m.drop(o) // somebody else was faster
		return nil
	}
	if err := probe(o); err != nil {
		return err
	}
	err := guard(func() error { return o.group.Owner.Return(m.newestMachine) })
	if err == nil && !registered(m.key.server, m.key.id) {
		err = errNotRegistered
	}
	return err
}

func (m *member) newestMachine() raft.StateMachine {
	m.sup.mu.Lock()
	defer m.sup.mu.Unlock()
	return m.machine
}

// probe opens the log, has it healed if need be, and closes it: a group is not
// started on a log that fails again.
func probe(o *opening) error {
	// First: a log that is opened without room is found good, and says nothing of its group.
	if err := room(o.dir); err != nil {
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
	// A log of CubeFS's WAL whose import failed, or one that a try left open because
	// no group could be made: only the next open tells.
	if errors.Is(err, bulkhead.ErrNeedsImport) || errors.Is(err, bulkhead.ErrAlreadyOpen) {
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
// a file without a name. A filesystem that cannot do that is not asked.
func room(dir string) error {
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
