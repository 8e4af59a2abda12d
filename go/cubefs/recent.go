package cubefs

import (
	"sync"
	"sync/atomic"

	"github.com/cubefs/cubefs/depends/tiglabs/raft/proto"
)

// What logs keep in memory: each up to recentFloor, whatever the others have, and
// up to recentMost while all of them together have no more than recentTotal. What
// raft stores with many proposals under way, or with large ones, does not fit into
// recentFloor, and would be read from the disk to be applied.
const (
	recentFloor = 64 << 10
	recentMost  = 4 << 20
	recentTotal = 64 << 20
)

// recentPlaces is how many entries the memory of a log with none has places for, at
// most.
const recentPlaces = 1024

// recentHeld is what all logs keep, in bytes.
var recentHeld int64

// recent holds the newest entries of a log until raft has read them: it reads
// each entry once, to apply it, soon after it was stored. Payloads are shared
// with raft, which does not use them again (only the slice of pointers).
//
// It always ends where the log ends, or is empty.
type recent struct {
	mu     sync.Mutex
	kept   []proto.Entry // consecutive indexes from kept[head] on; before it, nothing
	head   int
	bytes  int
	closed bool
}

// put follows a StoreEntries that succeeded.
func (r *recent) put(stored []*proto.Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	first, live := stored[0].Index, r.kept[r.head:]
	switch n := len(live); {
	case n == 0:
	case first <= live[0].Index || first > live[n-1].Index+1:
		r.drop(n)
	default: // behind the end, or instead of a suffix
		same := int(first - live[0].Index)
		for i := same; i < n; i++ {
			r.forget(&live[i])
		}
		r.kept = r.kept[:r.head+same]
	}
	added := 0
	for _, e := range stored {
		r.kept = append(r.kept, *e)
		added += entryBytes(e)
	}
	r.bytes += added
	over, left, held := 0, r.bytes, atomic.AddInt64(&recentHeld, int64(added))
	for live = r.kept[r.head:]; left > recentMost || left > recentFloor && held > recentTotal; over++ {
		bytes := entryBytes(&live[over])
		left, held = left-bytes, held-int64(bytes)
	}
	r.drop(over)
}

// take returns what Entries does, and keeps it no longer; nil if the first one
// is not here.
func (r *recent) take(lo, hi, maxSize uint64) []*proto.Entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	live := r.kept[r.head:]
	if len(live) == 0 || lo < live[0].Index || lo > live[len(live)-1].Index {
		return nil
	}
	from := int(lo - live[0].Index)
	count := len(live) - from
	if uint64(count) > hi-lo {
		count = int(hi - lo)
	}
	var size uint64
	for i := 0; i < count; i++ {
		if size += entryHeaderBytes + uint64(len(live[from+i].Data)); size > maxSize {
			count = i + 1
		}
	}
	values, taken := make([]proto.Entry, count), make([]*proto.Entry, count)
	copy(values, live[from:])
	for i := range values {
		taken[i] = &values[i]
	}
	r.drop(from + count)
	return taken
}

// dropThrough forgets what is compacted.
func (r *recent) dropThrough(index uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, live := 0, r.kept[r.head:]
	for n < len(live) && live[n].Index <= index {
		n++
	}
	r.drop(n)
}

// clear forgets everything: the log is not what was stored last.
func (r *recent) clear() {
	r.mu.Lock()
	r.drop(len(r.kept) - r.head)
	r.mu.Unlock()
}

// close forgets everything for good.
func (r *recent) close() {
	r.mu.Lock()
	r.closed = true
	r.drop(len(r.kept) - r.head)
	r.kept = nil
	r.mu.Unlock()
}

// drop forgets the oldest n.
func (r *recent) drop(n int) {
	for i := range r.kept[r.head : r.head+n] {
		r.forget(&r.kept[r.head+i])
	}
	r.head += n
	// What is moved is never more than what has been dropped since the last time.
	if live := len(r.kept) - r.head; live <= r.head {
		copy(r.kept, r.kept[r.head:])
		for i := live; i < len(r.kept); i++ {
			r.kept[i] = proto.Entry{} // its payload may go
		}
		r.kept, r.head = r.kept[:live], 0
	}
	if len(r.kept) == 0 && cap(r.kept) > recentPlaces {
		r.kept = nil
	}
}

func (r *recent) forget(e *proto.Entry) {
	r.bytes -= entryBytes(e)
	atomic.AddInt64(&recentHeld, -int64(entryBytes(e)))
	*e = proto.Entry{}
}

func entryBytes(e *proto.Entry) int { return len(e.Data) + 48 }
