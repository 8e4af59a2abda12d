package conformance

import "github.com/cubefs/cubefs/depends/tiglabs/raft/proto"

// snapshotCases: compaction, snapshots and the hard state.
var snapshotCases = []testCase{
	{"truncation is inclusive and repeatable", func(c *run) {
		s := c.open()
		c.store(s, entries(1, 21, 1, 64))
		for _, index := range []uint64{10, 10, 3, 0} {
			c.must(s.Truncate(index), "Truncate(%d)", index)
			c.holds(s, entries(11, 21, 1, 64))
		}
		s = c.reopen(s)
		c.holds(s, entries(11, 21, 1, 64))
	}},
	{"truncation of everything", func(c *run) {
		s := c.open()
		c.store(s, entries(1, 21, 1, 64))
		c.must(s.Truncate(20), "Truncate")
		first, last := c.bounds(s)
		c.check(first == 21 && last == 20, "the log is [%d, %d], want [21, 20]", first, last)
		s = c.reopen(s)
		first, last = c.bounds(s)
		c.check(first == 21 && last == 20, "after opening again the log is [%d, %d], want [21, 20]", first, last)
		c.store(s, entries(21, 25, 2, 64))
		c.holdsFrom(s, entries(21, 25, 2, 64))
	}},
	{"truncation beyond the end is an error", func(c *run) {
		s := c.open()
		c.store(s, entries(1, 21, 1, 64))
		c.check(s.Truncate(21) != nil, "Truncate(21) after entry 20 succeeded")
		c.holds(s, entries(1, 21, 1, 64))
	}},
	{"a snapshot clears the log and keeps term and vote", func(c *run) {
		s := c.open()
		c.store(s, entries(1, 21, 3, 64))
		c.must(s.StoreHardState(proto.HardState{Term: 5, Vote: 2, Commit: 15}), "StoreHardState")
		c.must(s.ApplySnapshot(proto.SnapshotMeta{Index: 500, Term: 4, Peers: []proto.Peer{{ID: 1}}}), "ApplySnapshot")
		for _, reopen := range []bool{false, true} {
			if reopen {
				s = c.reopen(s)
			}
			first, last := c.bounds(s)
			c.check(first == 501 && last == 500, "the log is [%d, %d], want [501, 500]", first, last)
			c.hardState(s, proto.HardState{Term: 5, Vote: 2, Commit: 500})
			term, compact, err := s.Term(500)
			c.check(err == nil && !compact && term == 4, "Term(500) = %d, compact %v, %v, want 4", term, compact, err)
			_, compact, err = s.Entries(20, 21, noLimit)
			c.check(err == nil && compact, "Entries(20, 21) = compact %v, %v, want compact", compact, err)
		}
		c.store(s, entries(501, 510, 5, 64))
		c.holds(c.reopen(s), entries(501, 510, 5, 64))
	}},
	{"a snapshot inside the log", func(c *run) {
		s := c.open()
		c.store(s, entries(1, 21, 1, 64))
		c.must(s.ApplySnapshot(proto.SnapshotMeta{Index: 10, Term: 2}), "ApplySnapshot")
		first, last := c.bounds(s)
		c.check(first == 11 && last == 10, "the log is [%d, %d], want [11, 10]: what followed the snapshot is of another history", first, last)
		c.store(s, entries(11, 13, 2, 64))
		c.holds(c.reopen(s), entries(11, 13, 2, 64))
	}},
	{"an empty snapshot meta makes the log look empty until the real one", func(c *run) {
		s := c.open()
		c.store(s, entries(1, 21, 1, 64))
		c.must(s.StoreHardState(proto.HardState{Term: 1, Vote: 1, Commit: 20}), "StoreHardState")
		c.must(s.ApplySnapshot(proto.SnapshotMeta{}), "ApplySnapshot of an empty meta")
		for _, reopen := range []bool{false, true} {
			if reopen {
				s = c.reopen(s)
			}
			c.holds(s, nil)
			first, _ := c.bounds(s)
			c.check(first == 1, "the log begins at %d, want 1", first)
			c.hardState(s, proto.HardState{Term: 1, Vote: 1})
		}
		c.must(s.ApplySnapshot(proto.SnapshotMeta{}), "ApplySnapshot of an empty meta")
		c.must(s.ApplySnapshot(proto.SnapshotMeta{Index: 50, Term: 1}), "ApplySnapshot")
		for _, reopen := range []bool{false, true} {
			if reopen {
				s = c.reopen(s)
			}
			first, last := c.bounds(s)
			c.check(first == 51 && last == 50, "the log is [%d, %d], want [51, 50]", first, last)
			c.hardState(s, proto.HardState{Term: 1, Vote: 1, Commit: 50})
		}
	}},
	{"the hard state is kept", func(c *run) {
		s := c.open()
		c.store(s, entries(1, 6, 1, 64))
		for _, h := range []proto.HardState{{Term: 1}, {Term: 1, Vote: 2}, {Term: 3, Vote: 1, Commit: 2}, {Term: 3, Vote: 1, Commit: 5}} {
			c.must(s.StoreHardState(h), "StoreHardState(%+v)", h)
			c.hardState(s, h)
			s = c.reopen(s)
			c.hardState(s, h)
		}
		c.holds(s, entries(1, 6, 1, 64))
	}},
	{"the stored commit reaches the compaction point", func(c *run) {
		s := c.open()
		c.store(s, entries(1, 21, 1, 64))
		c.must(s.StoreHardState(proto.HardState{Term: 1, Vote: 1, Commit: 5}), "StoreHardState")
		c.must(s.Truncate(10), "Truncate")
		for _, reopen := range []bool{false, true} {
			if reopen {
				s = c.reopen(s)
			}
			h, err := s.InitialState()
			c.must(err, "InitialState")
			c.check(h.Commit >= 10, "the commit is %d with a compaction point of 10: raft does not start with that", h.Commit)
		}
	}},
	{"the first dummy is compacted", func(c *run) {
		s, err := c.impl.OpenDummy(c.dir())
		c.must(err, "open")
		c.opened = append(c.opened, s)
		first, last := c.bounds(s)
		c.check(first == 2 && last == 1, "the log is [%d, %d], want [2, 1]", first, last)
		term, compact, err := s.Term(1)
		c.check(err == nil && !compact && term == 1, "Term(1) = %d, compact %v, %v, want 1", term, compact, err)
		c.store(s, entries(2, 5, 1, 64))
		c.holdsFrom(c.reopen(s), entries(2, 5, 1, 64))
	}},
	{"the first dummy is refused on a log in use", func(c *run) {
		s := c.open()
		c.store(s, entries(1, 6, 1, 64))
		s.Close()
		other, err := c.impl.OpenDummy(c.dir())
		if err == nil {
			c.opened = append(c.opened, other)
		}
		c.check(err != nil, "a log with entries was opened with a first dummy")
		c.holds(c.open(), entries(1, 6, 1, 64))
	}},
}

// holdsFrom is holds for a log whose entries all follow the compaction point.
func (c *run) holdsFrom(s interface {
	Entries(lo, hi, maxSize uint64) ([]*proto.Entry, bool, error)
}, want []*proto.Entry) {
	got, compact, err := s.Entries(want[0].Index, want[len(want)-1].Index+1, noLimit)
	c.check(err == nil && !compact, "Entries = compact %v, %v", compact, err)
	c.same(got, want)
}
