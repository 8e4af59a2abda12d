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
	for rest := batch; err == nil && len(rest) > 0; {
		n := piece(rest)
		if err = s.partition.Append(rest[:n]); err == nil {
			atomic.StoreUint64(&s.last, rest[n-1].Index)
			rest = rest[n:]
		}
	}
	if err == nil {
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

// What goes into one append at most. The library takes no more than 65 MiB; raft,
// which knows no limit, stores in one call what many proposals have brought together.
const (
	pieceBytes   = 32 << 20
	pieceEntries = 64 << 10
)

// piece returns how many of the entries go into the next append, one at least. A crash
// between two leaves the entries up to there, as it does within one.
func piece(entries []bulkhead.Entry) int {
	bytes := 0
	for i, e := range entries {
		if bytes += len(e.Data); i > 0 && (bytes > pieceBytes || i == pieceEntries) {
			return i
		}
	}
	return len(entries)
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
