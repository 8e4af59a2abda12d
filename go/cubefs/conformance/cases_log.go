package conformance

import (
	"math"

	"github.com/cubefs/cubefs/depends/tiglabs/raft/proto"
)

// logCases: what is stored is what is read.
var logCases = []testCase{
	{"a fresh log is empty", func(c *run) {
		s := c.open()
		c.holds(s, nil)
		c.hardState(s, proto.HardState{})
		term, compact, err := s.Term(0)
		c.check(err == nil && !compact && term == 0, "Term(0) = %d, %v, %v: raft asks for it before the first entry", term, compact, err)
	}},
	{"entries come back as they were", func(c *run) {
		s := c.open()
		want := entries(1, 4, 1, 0)
		want = append(want, entries(4, 68, 2, 100)...)
		want = append(want, entries(68, 70, 3, 128<<10+33)...)
		c.store(s, want[:3])
		c.store(s, want[3:67])
		c.store(s, want[67:])
		c.holds(s, want)
		c.holds(c.reopen(s), want)
	}},
	{"no entries are no error", func(c *run) {
		s := c.open()
		c.must(s.StoreEntries(nil), "StoreEntries(nil)")
		c.holds(s, nil)
	}},
	{"the slice may be reused after StoreEntries", func(c *run) {
		s := c.open()
		batch := entries(1, 9, 1, 50)
		want := entries(1, 9, 1, 50)
		c.store(s, batch)
		for i := range batch {
			batch[i] = &proto.Entry{Index: 77, Term: 77}
		}
		c.holds(s, want)
		c.holds(c.reopen(s), want)
	}},
	{"a batch larger than a segment", func(c *run) {
		s := c.open()
		want := entries(1, 65, 1, 128<<10)
		c.store(s, want)
		c.holds(s, want)
		c.holds(c.reopen(s), want)
	}},
	{"what Entries returned outlives the log", func(c *run) {
		s := c.open()
		want := entries(1, 33, 1, 300)
		c.store(s, want)
		got, _, err := s.Entries(1, 33, noLimit)
		c.must(err, "Entries")
		c.must(s.Truncate(20), "Truncate")
		c.store(s, entries(25, 60, 2, 300))
		c.must(s.ApplySnapshot(proto.SnapshotMeta{Index: 100, Term: 3}), "ApplySnapshot")
		c.store(s, entries(101, 200, 3, 300))
		s.Close()
		c.same(got, want)
	}},
	{"an overlap replaces the suffix", func(c *run) {
		s := c.open()
		c.store(s, entries(1, 21, 1, 64))
		c.store(s, entries(11, 14, 2, 64))
		want := append(entries(1, 11, 1, 64), entries(11, 14, 2, 64)...)
		c.holds(s, want)
		s = c.reopen(s)
		c.holds(s, want)
		c.store(s, entries(14, 16, 2, 64))
		c.holds(s, append(want, entries(14, 16, 2, 64)...))
	}},
	{"an overlap of all entries", func(c *run) {
		s := c.open()
		c.store(s, entries(1, 11, 1, 64))
		c.store(s, entries(1, 3, 2, 64))
		c.holds(s, entries(1, 3, 2, 64))
		c.holds(c.reopen(s), entries(1, 3, 2, 64))
	}},
	{"an overlap after a compaction", func(c *run) {
		s := c.open()
		c.store(s, entries(1, 21, 1, 64))
		c.must(s.Truncate(10), "Truncate")
		c.store(s, entries(11, 13, 2, 64))
		c.holds(s, entries(11, 13, 2, 64))
		s = c.reopen(s)
		c.holds(s, entries(11, 13, 2, 64))
		term, compact, err := s.Term(10)
		c.check(err == nil && !compact && term == 1, "Term of the compaction point = %d, %v, %v", term, compact, err)
	}},
	{"an overlap over several segments", func(c *run) {
		s := c.open()
		c.store(s, entries(1, 41, 1, 128<<10))
		c.store(s, entries(5, 7, 2, 64))
		want := append(entries(1, 5, 1, 128<<10), entries(5, 7, 2, 64)...)
		c.holds(s, want)
		c.holds(c.reopen(s), want)
	}},
	{"a gap is refused and changes nothing", func(c *run) {
		s := c.open()
		c.store(s, entries(1, 6, 1, 64))
		c.check(s.StoreEntries(entries(7, 9, 1, 64)) != nil, "a gap after entry 5 was accepted")
		c.holds(s, entries(1, 6, 1, 64))
		c.store(s, entries(6, 8, 1, 64))
		c.holds(c.reopen(s), entries(1, 8, 1, 64))
	}},
	{"a gap inside a batch changes nothing", func(c *run) {
		s := c.open()
		c.store(s, entries(1, 6, 1, 64))
		c.check(s.StoreEntries([]*proto.Entry{{Index: 6, Term: 1}, {Index: 8, Term: 1}}) != nil, "a batch with a gap was accepted")
		c.holds(s, entries(1, 6, 1, 64))
	}},
	{"a gap at the start of an empty log is refused", func(c *run) {
		s := c.open()
		c.check(s.StoreEntries(entries(900, 901, 1, 64)) != nil, "entry 900 was accepted as the first of a fresh log")
		c.holds(s, nil)
	}},
	{"a gap after a snapshot is refused", func(c *run) {
		s := c.open()
		c.must(s.ApplySnapshot(proto.SnapshotMeta{Index: 500, Term: 2}), "ApplySnapshot")
		c.check(s.StoreEntries(entries(900, 901, 2, 64)) != nil, "entry 900 was accepted after a snapshot at 500")
		c.store(s, entries(501, 503, 2, 64))
		c.holds(s, entries(501, 503, 2, 64))
	}},
}

// boundsCases: how ranges and sizes are cut, and what lies outside.
var boundsCases = []testCase{
	{"the entry that goes over maxSize is included", func(c *run) {
		s := c.open()
		want := entries(1, 11, 1, 100)
		c.store(s, want)
		size := want[0].Size()
		for _, limit := range []struct {
			size  uint64
			count int
		}{{0, 1}, {1, 1}, {size - 1, 1}, {size, 2}, {size + 1, 2}, {3*size - 1, 3}, {3 * size, 4}, {9*size + 1, 10}, {10 * size, 10}, {100 * size, 10}} {
			got, _, err := s.Entries(1, 11, limit.size)
			c.must(err, "Entries with maxSize %d", limit.size)
			c.check(len(got) == limit.count, "maxSize %d of entries of %d bytes gives %d, want %d", limit.size, size, len(got), limit.count)
			c.same(got, want[:limit.count])
		}
	}},
	{"empty entries count in maxSize", func(c *run) {
		s := c.open()
		c.store(s, entries(1, 101, 1, 0))
		got, _, err := s.Entries(1, 101, 100)
		c.must(err, "Entries")
		c.check(len(got) == 6, "%d entries of 17 bytes each go over 100 bytes, want 6", len(got))
	}},
	{"a range is cut to what was asked for", func(c *run) {
		s := c.open()
		want := entries(1, 31, 1, 64)
		c.store(s, want)
		got, _, err := s.Entries(10, 13, noLimit)
		c.must(err, "Entries")
		c.same(got, want[9:12])
	}},
	{"MaxUint32 and MaxUint64 are no limit", func(c *run) {
		s := c.open()
		want := entries(1, 41, 1, 128<<10)
		c.store(s, want)
		for _, limit := range []uint64{math.MaxUint32, math.MaxUint64} {
			got, _, err := s.Entries(1, 41, limit)
			c.must(err, "Entries")
			c.same(got, want)
		}
	}},
	{"hi beyond the end is tolerated", func(c *run) {
		s := c.open()
		want := entries(1, 11, 1, 64)
		c.store(s, want)
		for _, hi := range []uint64{11, 12, 1000, math.MaxUint64} {
			got, compact, err := s.Entries(5, hi, noLimit)
			c.check(err == nil && !compact, "Entries(5, %d) = compact %v, %v", hi, compact, err)
			c.same(got, want[4:])
		}
	}},
	{"lo beyond the end is an error", func(c *run) {
		s := c.open()
		_, compact, err := s.Entries(1, 2, noLimit)
		c.check(err != nil && !compact, "Entries(1, 2) of an empty log = compact %v, %v", compact, err)
		c.store(s, entries(1, 11, 1, 64))
		_, compact, err = s.Entries(11, 12, noLimit)
		c.check(err != nil && !compact, "Entries(11, 12) after entry 10 = compact %v, %v", compact, err)
	}},
	{"an empty range is no error", func(c *run) {
		s := c.open()
		c.store(s, entries(1, 11, 1, 64))
		got, compact, err := s.Entries(5, 5, noLimit)
		c.check(err == nil && !compact && len(got) == 0, "Entries(5, 5) = %d entries, compact %v, %v", len(got), compact, err)
	}},
	{"at and below the compaction point is compact", func(c *run) {
		s := c.open()
		c.store(s, entries(1, 21, 1, 64))
		c.must(s.Truncate(10), "Truncate")
		for _, lo := range []uint64{0, 1, 9, 10} {
			got, compact, err := s.Entries(lo, 15, noLimit)
			c.check(err == nil && compact && len(got) == 0, "Entries(%d, 15) = %d entries, compact %v, %v", lo, len(got), compact, err)
		}
		c.holds(s, entries(11, 21, 1, 64))
	}},
	{"the compaction point's term is known", func(c *run) {
		s := c.open()
		c.store(s, append(entries(1, 10, 1, 64), entries(10, 21, 4, 64)...))
		c.must(s.Truncate(10), "Truncate")
		for _, reopen := range []bool{false, true} {
			if reopen {
				s = c.reopen(s)
			}
			term, compact, err := s.Term(10)
			c.check(err == nil && !compact && term == 4, "Term(10) = %d, compact %v, %v, want 4", term, compact, err)
			_, compact, err = s.Term(9)
			c.check(err == nil && compact, "Term(9) = compact %v, %v, want compact", compact, err)
			_, compact, err = s.Term(21)
			c.check(err != nil && !compact, "Term(21) after entry 20 = compact %v, %v, want an error", compact, err)
		}
	}},
}
