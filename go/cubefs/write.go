package cubefs

import (
	"sync/atomic"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/proto"
)

// StoreEntries appends entries, after it has dropped those at and after the
// first one's index. They are durable in the sense of Config.Mode when it
// returns. A gap is an error, on an empty log too.
func (s *Storage) StoreEntries(entries []*proto.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	pooled := batchPool.Get().(*[]bulkhead.Entry)
	batch := (*pooled)[:0]
	for _, e := range entries {
		batch = append(batch, bulkhead.Entry{Index: e.Index, Term: e.Term, Kind: uint8(e.Type), Data: e.Data})
	}
	s.writeMu.Lock()
	err := s.tooEarly(entries)
	if err == nil {
		err = s.partition.Append(batch)
	}
	if err == nil {
		atomic.StoreUint64(&s.last, batch[len(batch)-1].Index)
		s.recent.put(entries)
	} else {
		s.recent.clear()
	}
	s.writeMu.Unlock()
	putBatch(pooled, batch)
	if err != nil {
		return s.failed(err)
	}
	return nil
}

// StoreHardState keeps term, vote and commit. A new term or vote is durable
// when it returns, in every mode; a new commit alone rides with the next write.
func (s *Storage) StoreHardState(state proto.HardState) error {
	s.writeMu.Lock()
	pending := s.SnapshotPending()
	if pending { // raft's commit is of a log that it sees, or has seen; the kept one stays
		s.hardMu.Lock()
		state.Commit = s.hard.Commit
		s.hardMu.Unlock()
	}
	err := s.keep(state, pending)
	s.writeMu.Unlock()
	if err != nil {
		return s.failed(err)
	}
	return nil
}

// Truncate drops the entries up to index, included. At or below the compaction
// point it does nothing; beyond the last entry it is an error. Raft's group
// survives an error.
//
// The stored commit rises to index if it is below: raft does not start with a
// commit below the compaction point.
func (s *Storage) Truncate(index uint64) error {
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	if s.SnapshotPending() {
		return s.beyond(index)
	}
	if err := s.partition.Compact(index); err != nil {
		return err
	}
	s.hardMu.Lock()
	if s.hard.Commit < index {
		s.hard.Commit = index
	}
	s.hardMu.Unlock()
	s.recent.dropThrough(index)
	return s.loadBounds()
}
