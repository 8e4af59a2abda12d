package cubefs

import (
	"errors"
	"math"
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
	var r recent
	for _, size := range []int{2, 100, 5000, 2 * recentBytes} {
		for n := uint64(1); n <= 10_000; n++ {
			r.put(run(n, n, 1, size))
			if held := len(r.kept) - r.head; r.bytes > recentBytes || held > recentBytes/48 || cap(r.kept) > 8*recentBytes/48 {
				t.Fatalf("%d bytes, %d entries in %d places", r.bytes, held, cap(r.kept))
			}
		}
	}
	r.close()
	r.put(run(1, 1, 1, 10))
	if r.bytes != 0 || r.kept != nil {
		t.Fatalf("%d bytes are kept after the end", r.bytes)
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
