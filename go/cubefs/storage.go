package cubefs

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/proto"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage"
)

var _ storage.Storage = (*Storage)(nil)

// Storage is a raft storage kept by Bulkhead. Its methods are safe for
// concurrent use; raft itself writes from one goroutine.
type Storage struct {
	partition *bulkhead.Partition
	config    Config
	dir       string
	identity  os.FileInfo
	watcher   *watcher

	// Raft asks for the bounds several times per message, and panics outside of
	// its recover if they fail after the storage was closed.
	first uint64 // atomic
	last  uint64 // atomic

	pending uint32 // atomic: a snapshot was begun and has not arrived

	recent recent

	writeMu sync.Mutex // one writer at a time, so that the bounds follow the log
	hardMu  sync.Mutex
	hard    proto.HardState

	closeOnce sync.Once
	unused    uint32 // atomic: 1 once CloseUnused was called
	ended     uint32 // atomic: 1 once a call has failed on which raft gives up

	toldMu   sync.Mutex
	told     bool
	lastTold faultKey
	calls    []func() // of the owner's code, in order
	calling  bool
}

// Partition gives access to the log's status, verification and recovery. Its
// log must not be changed behind raft's back.
func (s *Storage) Partition() *bulkhead.Partition { return s.partition }

// InitialState returns the hard state that was stored last; with commit 0 while a
// snapshot is pending, see ApplySnapshot.
func (s *Storage) InitialState() (proto.HardState, error) {
	s.hardMu.Lock()
	hard := s.hard
	s.hardMu.Unlock()
	if s.SnapshotPending() {
		hard.Commit = 0
	}
	return hard, nil
}

// FirstIndex returns the index after the compaction point. It never fails.
func (s *Storage) FirstIndex() (uint64, error) { return atomic.LoadUint64(&s.first), nil }

// LastIndex returns the last entry's index, or the compaction point if there is
// no entry. It never fails.
func (s *Storage) LastIndex() (uint64, error) { return s.lastIndex(), nil }

func (s *Storage) lastIndex() uint64 { return atomic.LoadUint64(&s.last) }

func (s *Storage) loadBounds() error {
	first, last, err := s.partition.Bounds()
	if err == nil && !s.SnapshotPending() {
		s.setBounds(first, last)
	}
	return err
}

func (s *Storage) setBounds(first, last uint64) {
	atomic.StoreUint64(&s.first, first)
	atomic.StoreUint64(&s.last, last)
}

// Recover tries to bring a faulted log back, see bulkhead.Partition.Recover.
// Raft does not use a storage again that failed once; this is for its owner.
func (s *Storage) Recover() error {
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	s.recent.clear()
	if err := s.partition.Recover(); err != nil {
		return err
	}
	return s.loadBounds()
}

// Close ends the storage; the directory may be removed, renamed or opened again
// when it returns. Of a faulted log it returns at once: a call or a probe that is
// still at work on such a log keeps its directory until it is over, and an open
// says bulkhead.ErrBusy. A fault that OnFault has not been told yet is told.
// Closing again waits for the first Close and does nothing.
func (s *Storage) Close() {
	s.closeOnce.Do(func() {
		if f, ok := latchedFault(s.partition); ok {
			s.tell(f)
		}
		s.end()
	})
}

// CloseUnused closes a storage that no group uses, as far as is known: its faults do
// not matter, and are not told. If a group is made of it after all, that ends with its
// first write, which is told: StateClosed, bulkhead.ErrClosed.
func (s *Storage) CloseUnused() {
	atomic.StoreUint32(&s.unused, 1)
	s.closeOnce.Do(s.end)
}

// ClosedUnused tells whether CloseUnused was called.
func (s *Storage) ClosedUnused() bool { return atomic.LoadUint32(&s.unused) != 0 }

func (s *Storage) end() {
	s.watcher.remove(s)
	s.recent.close()
	if err := s.partition.Close(); err != nil && !errors.Is(err, bulkhead.ErrClosed) {
		s.tellClose(err)
	}
	if s.config.OnClosed != nil {
		s.toldMu.Lock()
		s.callBack(s.config.OnClosed)
		s.toldMu.Unlock()
	}
}

// tellClose tells of an error of Close, which the interface has no way to return.
// What the disk did not take by now is not durable, and that the owner must hear.
// Beside a probe of a log whose fault was told, it says nothing new.
func (s *Storage) tellClose(err error) {
	if errors.Is(err, bulkhead.ErrBusy) {
		s.toldMu.Lock()
		told := s.told
		s.toldMu.Unlock()
		if told {
			return
		}
	}
	f := faultOfCall(err)
	f.State = bulkhead.StateClosed
	s.tell(f)
}
