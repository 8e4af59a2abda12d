package shadow

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/bulkhead-wal/bulkhead/go/cubefs"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/proto"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage"
)

// Limits of what waits for the shadow.
const (
	maxBytes        = 16 << 20 // per log; a batch of raft's is up to 8 MiB
	maxChanges      = 4096     // per log
	maxProcessBytes = 64 << 20 // of all logs
	entryBytes      = 80       // what an entry takes beside its payload
)

// Config says where a shadow is kept.
type Config struct {
	// Root holds the shadows and marks of the logs on one disk; it is made if it is
	// missing, and belongs to one process. It must not be a directory that CubeFS
	// reads, nor one that is removed with the partition.
	Root string
	ID   uint64
	Log  cubefs.Config // Engine must not be one that logs in earnest are kept in
}

// Storage is CubeFS's log of one group, and its shadow.
type Storage struct {
	native storage.Storage
	work   *worker

	// version is odd while a change is under way, so that a read knows whether its
	// answer belongs to one state of the log.
	version uint64

	mu        sync.Mutex // of the fields below: raft writes from one goroutine, its creator reads before
	base      uint64     // the shadow has the entries behind it
	begun     bool       // the shadow has its first entries
	restart   bool       // it must start anew with the next entries
	suspended bool       // CubeFS's log is empty until a snapshot has arrived
	hard      proto.HardState
}

var _ storage.Storage = (*Storage)(nil)

// New puts a shadow beside a log that was just opened.
func New(native storage.Storage, config Config) *Storage {
	return newStorage(native, config, openTarget)
}

func newStorage(native storage.Storage, config Config, open opener) *Storage {
	s := &Storage{native: native, restart: true}
	s.hard, _ = native.InitialState() // CubeFS's never fails
	s.work = newWorker(config, open)
	return s
}

// StoreEntries stores entries in CubeFS's log.
func (s *Storage) StoreEntries(entries []*proto.Entry) error {
	done := s.begin()
	defer done()
	if err := s.native.StoreEntries(entries); err != nil || len(entries) == 0 {
		s.changed(change{kind: nothing})
		return err
	}
	c := change{kind: store, entries: make([]proto.Entry, len(entries))} // raft uses the slice again, not the payloads
	for i, e := range entries {
		c.entries[i] = *e
		c.bytes += entryBytes + len(e.Data)
	}
	s.mu.Lock()
	first := entries[0].Index
	if s.work.takeBroken() || s.restart || s.suspended || first <= s.base {
		c.fresh = &origin{first - 1, s.termOf(first - 1)}
		s.base, s.restart, s.suspended = first-1, false, false
	}
	c.hard = s.hard
	s.mu.Unlock()
	s.changed(c)
	return nil
}

// termOf asks CubeFS's log, which may panic where it has no entry; 0 then.
func (s *Storage) termOf(index uint64) (term uint64) {
	defer func() { _ = recover() }()
	term, _, _ = s.native.Term(index)
	return term
}

// StoreHardState stores term, vote and commit in CubeFS's log.
func (s *Storage) StoreHardState(state proto.HardState) error {
	done := s.begin()
	defer done()
	if err := s.native.StoreHardState(state); err != nil {
		s.changed(change{kind: nothing})
		return err
	}
	s.mu.Lock()
	s.hard = state
	s.mu.Unlock()
	s.changed(change{kind: hardState, hard: state})
	return nil
}

// Truncate truncates CubeFS's log.
func (s *Storage) Truncate(index uint64) error {
	done := s.begin()
	defer done()
	if err := s.native.Truncate(index); err != nil {
		s.changed(change{kind: nothing})
		return err
	}
	s.changed(change{kind: truncate, index: index})
	return nil
}

// ApplySnapshot resets CubeFS's log.
func (s *Storage) ApplySnapshot(meta proto.SnapshotMeta) error {
	done := s.begin()
	defer done()
	err := s.native.ApplySnapshot(meta)
	empty := meta.Index == 0 && meta.Term == 0 && len(meta.Peers) == 0
	s.mu.Lock()
	s.hard.Commit = meta.Index
	s.suspended = err == nil && empty
	s.mu.Unlock()
	if err != nil || empty {
		s.changed(change{kind: nothing})
		return err
	}
	s.mu.Lock()
	s.base, s.restart = meta.Index, false
	hard := s.hard
	s.mu.Unlock()
	s.changed(change{kind: snapshot, fresh: &origin{meta.Index, meta.Term}, hard: hard})
	return nil
}

// begin marks that a change is under way.
func (s *Storage) begin() (done func()) {
	atomic.AddUint64(&s.version, 1)
	return func() { atomic.AddUint64(&s.version, 1) }
}

// changed hands a change to the shadow. It runs between begin and done.
func (s *Storage) changed(c change) {
	c.version = atomic.LoadUint64(&s.version) + 1
	c.first, _ = s.native.FirstIndex() // neither of CubeFS's fails
	c.last, _ = s.native.LastIndex()
	s.mu.Lock()
	defer s.mu.Unlock()
	c.suspended = s.suspended
	if !s.begun && c.fresh == nil {
		return // entries begin it
	}
	s.begun = true
	if s.restart && c.kind != nothing { // only entries start it anew
		s.work.drop(c)
		return
	}
	if !s.work.add(c) {
		s.restart = true
	}
}

// Entries reads from CubeFS's log.
func (s *Storage) Entries(lo, hi uint64, maxSize uint64) (entries []*proto.Entry, isCompact bool, err error) {
	before := atomic.LoadUint64(&s.version)
	entries, isCompact, err = s.native.Entries(lo, hi, maxSize)
	if err == nil {
		c := change{kind: readEntries, index: lo, hi: hi, maxSize: maxSize, answer: entries, compact: isCompact, bytes: entryBytes}
		for _, e := range entries {
			c.bytes += entryBytes + len(e.Data)
		}
		s.read(before, c)
	}
	return entries, isCompact, err
}

// Term reads from CubeFS's log.
func (s *Storage) Term(index uint64) (term uint64, isCompact bool, err error) {
	before := atomic.LoadUint64(&s.version)
	term, isCompact, err = s.native.Term(index)
	if err == nil {
		s.read(before, change{kind: readTerm, index: index, term: term, compact: isCompact, bytes: entryBytes})
	}
	return term, isCompact, err
}

// read hands a read to the shadow, unless a change was under way.
func (s *Storage) read(before uint64, c change) {
	if before%2 != 0 || atomic.LoadUint64(&s.version) != before {
		s.work.counters.add(&s.work.counters.NotCompared)
		return
	}
	c.version = before
	s.work.addRead(c)
}

// InitialState is CubeFS's.
func (s *Storage) InitialState() (proto.HardState, error) { return s.native.InitialState() }

// FirstIndex is CubeFS's.
func (s *Storage) FirstIndex() (uint64, error) { return s.native.FirstIndex() }

// LastIndex is CubeFS's.
func (s *Storage) LastIndex() (uint64, error) { return s.native.LastIndex() }

// Close closes CubeFS's log. The shadow works off what waits, and goes.
func (s *Storage) Close() {
	s.native.Close()
	s.work.end()
}

// Report tells how the shadow does.
func (s *Storage) Report() Report { return s.work.report(time.Now()) }
