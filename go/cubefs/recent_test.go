package cubefs

import (
	"errors"
	"math"
	"sync/atomic"
	"testing"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/proto"
)

func run(first, last, term uint64, size int) (entries []*proto.Entry) {
	for i := first; i <= last; i++ {
		data := make([]byte, size)
		data[0], data[1] = byte(i), byte(term)
		entries = append(entries, &proto.Entry{Index: i, Term: term, Data: data})
	}
	return entries
}

// TestRecentGivesWhatTheLogHas: what raft gets from memory must be what it would
// have read, whatever was replaced, compacted or read before.
func TestRecentGivesWhatTheLogHas(t *testing.T) {
	for _, mode := range []bulkhead.Mode{bulkhead.ModeNone, bulkhead.ModeSync} {
		s := open(t, walDir(t), &Config{Mode: mode})
		store := func(entries []*proto.Entry) {
			t.Helper()
			if err := s.StoreEntries(entries); err != nil {
				t.Fatal(err)
			}
		}
		same := func(lo, hi, maxSize uint64) {
			t.Helper()
			memory, _, err := s.Entries(lo, hi, maxSize)
			if err != nil {
				t.Fatal(err)
			}
			s.recent.clear()
			disk, _, err := s.Entries(lo, hi, maxSize)
			if err != nil || len(memory) != len(disk) {
				t.Fatalf("[%d, %d) up to %d bytes: %d entries from memory, %d from disk: %v", lo, hi, maxSize, len(memory), len(disk), err)
			}
			for i := range disk {
				if m, d := memory[i], disk[i]; m.Index != d.Index || m.Term != d.Term || m.Type != d.Type || string(m.Data) != string(d.Data) {
					t.Fatalf("entry %d of term %d, on disk entry %d of term %d", m.Index, m.Term, d.Index, d.Term)
				}
			}
		}
		store(run(1, 20, 1, 100))
		same(1, 21, math.MaxUint64)
		store(run(21, 30, 1, 100))
		same(25, 27, math.MaxUint64)
		store(run(31, 40, 1, 100))
		same(31, 1000, math.MaxUint64)
		store(run(41, 50, 1, 100))
		same(41, 51, 0) // one at least
		store(run(51, 60, 1, 100))
		same(51, 61, 300) // the one that goes over the limit included
		store(run(61, 70, 1, 100))
		store(run(65, 66, 2, 100)) // a suffix is replaced
		same(61, 67, math.MaxUint64)
		store(run(67, 70, 2, 100))
		store(run(60, 61, 3, 100)) // from before what is kept
		same(60, 62, math.MaxUint64)
		if _, _, err := s.Entries(62, 63, math.MaxUint64); err == nil {
			t.Fatal("an entry that was replaced is still there")
		}
		store(run(62, 70, 3, 100))
		if err := s.Truncate(65); err != nil {
			t.Fatal(err)
		}
		if _, compact, _ := s.Entries(64, 66, math.MaxUint64); !compact {
			t.Fatal("a compacted entry was returned")
		}
		same(66, 71, math.MaxUint64)
		store(run(71, 72, 3, 100))
		if err := s.ApplySnapshot(proto.SnapshotMeta{Index: 100, Term: 4}); err != nil {
			t.Fatal(err)
		}
		store(run(101, 103, 4, 100))
		same(101, 104, math.MaxUint64)
		store(run(104, 105, 4, 100))
		s.Close()
		if _, _, err := s.Entries(104, 105, math.MaxUint64); !errors.Is(err, bulkhead.ErrClosed) {
			t.Fatalf("a closed log answers: %v", err)
		}
	}
}

// TestRecentIsBounded: thousands of logs whose entries nobody reads must not
// keep them, and storing must not get slower by them.
func TestRecentIsBounded(t *testing.T) {
	before := atomic.LoadInt64(&recentHeld)
	var first recent
	for _, size := range []int{2, 100, 5000, 2 * recentMost} {
		for n := uint64(1); n <= 10_000 && n <= uint64(64*recentMost/size); n++ {
			first.put(run(n, n, 1, size))
			if held := len(first.kept) - first.head; first.bytes > recentMost || held > recentMost/48 || cap(first.kept) > 8*recentMost/48 {
				t.Fatalf("%d bytes, %d entries in %d places", first.bytes, held, cap(first.kept))
			}
		}
	}
	logs := make([]recent, 100)
	for i := range logs {
		logs[i].put(run(1, 1000, 1, 1000))
	}
	if held, least := atomic.LoadInt64(&recentHeld)-before, int64(len(logs)*recentFloor); held < recentTotal/2 || held > recentTotal+least {
		t.Fatalf("%d logs keep %d bytes", len(logs), held)
	}
	if last := &logs[len(logs)-1]; last.bytes > recentFloor || last.bytes < recentFloor/2 {
		t.Fatalf("the last of many keeps %d bytes", last.bytes)
	}
	for i := range logs {
		logs[i].close()
	}
	first.close()
	first.put(run(1, 1, 1, 10))
	if held := atomic.LoadInt64(&recentHeld); first.bytes != 0 || first.kept != nil || held != before {
		t.Fatalf("%d bytes are kept after the end, %d in all", first.bytes, held-before)
	}
}

// TestRecentHasWhatManyProposalsStore: raft applies what it has just stored
// without reading it from the disk, be they many or large.
func TestRecentHasWhatManyProposalsStore(t *testing.T) {
	for _, size := range []int{10, 4 << 10, 128 << 10} {
		var r recent
		r.put(run(1, 28, 1, size))
		if got := r.take(1, 29, math.MaxUint64); len(got) != 28 || got[0].Index != 1 {
			t.Fatalf("of 28 entries of %d bytes %d were kept", size, len(got))
		}
		r.put(run(29, 29+2*recentPlaces, 1, 10))
		if r.take(29, 30+2*recentPlaces, math.MaxUint64); cap(r.kept) > recentPlaces {
			t.Fatalf("nothing is kept, in %d places", cap(r.kept))
		}
		r.close()
	}
}

// TestRecentDropsWhatIsReadFromTheDisk: a batch of which the first entries had no
// room is read from the disk as a whole; the rest of it must not stay for good.
func TestRecentDropsWhatIsReadFromTheDisk(t *testing.T) {
	s := open(t, walDir(t), &Config{Mode: bulkhead.ModeNone})
	defer s.Close()
	if err := s.StoreEntries(run(1, 40, 1, 128<<10)); err != nil {
		t.Fatal(err)
	}
	if live := s.recent.kept[s.recent.head:]; len(live) == 0 || len(live) == 40 {
		t.Fatalf("of 40 entries %d are kept", len(live))
	}
	if got, _, err := s.Entries(1, 41, math.MaxUint64); err != nil || len(got) != 40 {
		t.Fatalf("%d entries, %v", len(got), err)
	}
	if s.recent.bytes != 0 {
		t.Fatalf("%d bytes that raft has read are kept", s.recent.bytes)
	}
}

// TestRecentIsReadOnce: what was applied is not kept.
func TestRecentIsReadOnce(t *testing.T) {
	var r recent
	r.put(run(1, 10, 1, 100))
	if got := r.take(4, 6, math.MaxUint64); len(got) != 2 || got[0].Index != 4 || len(r.kept)-r.head != 5 || r.kept[r.head].Index != 6 {
		t.Fatalf("%v, left %v", got, r.kept[r.head:])
	}
	if r.take(4, 6, math.MaxUint64) != nil || r.take(11, 12, math.MaxUint64) != nil {
		t.Fatal("entries that are not here")
	}
	r.close()
}
