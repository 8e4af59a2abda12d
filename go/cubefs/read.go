package cubefs

import (
	"errors"
	"math"
	"sync"
	"sync/atomic"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/proto"
)

// entryHeaderBytes is what proto.Entry.Size counts beside the payload.
const entryHeaderBytes = 17

// batchPool holds what StoreEntries and Entries convert into and from.
var batchPool = sync.Pool{New: func() interface{} { return new([]bulkhead.Entry) }}

// putBatch gives back a batch without keeping its payloads alive.
func putBatch(pooled *[]bulkhead.Entry, used []bulkhead.Entry) {
	for i := range used {
		used[i].Data = nil
	}
	*pooled = used[:0]
	batchPool.Put(pooled)
}

// Term returns the term of an index, or isCompact below the compaction point,
// whose own term is known. Beyond the last entry it is an error.
func (s *Storage) Term(index uint64) (term uint64, isCompact bool, err error) {
	if s.SnapshotPending() {
		return 0, false, s.beyond(index)
	}
	term, err = s.partition.Term(index)
	if err == nil {
		return term, false, nil
	}
	isCompact, err = s.readFailed(err)
	return 0, isCompact, err
}

// Entries returns the entries [lo, hi), in memory of their own. It stops after
// the entry that takes their size over maxSize (math.MaxUint32 and more: no
// limit) and returns at least one; hi may lie beyond the last entry. At or below
// the compaction point it returns isCompact, beyond the last entry an error.
func (s *Storage) Entries(lo, hi uint64, maxSize uint64) (entries []*proto.Entry, isCompact bool, err error) {
	if lo < atomic.LoadUint64(&s.first) {
		return nil, true, nil
	}
	if hi <= lo || s.SnapshotPending() {
		return nil, false, s.beyond(lo)
	}
	if maxSize >= math.MaxUint32 {
		maxSize = math.MaxUint64
	} else if most := maxSize/entryHeaderBytes + 1; hi-lo > most {
		hi = lo + most // as many as fit if they are all empty
	}
	if entries = s.recent.take(lo, hi, maxSize); entries != nil {
		return entries, false, nil
	}
	pooled := batchPool.Get().(*[]bulkhead.Entry)
	batch, err := s.partition.ReadAppend((*pooled)[:0], lo, hi, maxSize)
	if err == nil {
		entries = toProto(batch, maxSize)
		if n := len(entries); n > 0 {
			s.recent.dropThrough(entries[n-1].Index) // as take does: raft has them now
		}
	}
	putBatch(pooled, batch)
	if err != nil {
		isCompact, err = s.readFailed(err)
		return nil, isCompact, err
	}
	return entries, false, nil
}

// beyond is the error of a read that starts after the last entry; nil if index
// does not lie there.
func (s *Storage) beyond(index uint64) error {
	if index <= s.lastIndex() {
		return nil
	}
	return &bulkhead.Error{Op: bulkhead.OpRead, Partition: s.config.PartitionID, Code: bulkhead.ErrOutOfRange,
		First: index, Last: index, Path: s.dir, Message: "the log ends before this index"}
}

// toProto cuts where proto's sizes, which count headers too, say so. Two
// allocations serve all entries.
func toProto(batch []bulkhead.Entry, maxSize uint64) []*proto.Entry {
	var size uint64
	for i := range batch {
		size += entryHeaderBytes + uint64(len(batch[i].Data))
		if size > maxSize {
			batch = batch[:i+1]
			break
		}
	}
	values := make([]proto.Entry, len(batch))
	entries := make([]*proto.Entry, len(batch))
	for i := range batch {
		e := &batch[i]
		values[i] = proto.Entry{Type: proto.EntryType(e.Kind), Term: e.Term, Index: e.Index, Data: e.Data}
		entries[i] = &values[i]
	}
	return entries
}

// readFailed tells what raft calls compacted from what ends its group.
func (s *Storage) readFailed(err error) (isCompact bool, _ error) {
	if errors.Is(err, bulkhead.ErrCompacted) {
		return true, nil
	}
	if errors.Is(err, bulkhead.ErrOutOfRange) {
		return false, err // the caller's mistake, not the log's fault
	}
	return false, s.failed(err)
}
