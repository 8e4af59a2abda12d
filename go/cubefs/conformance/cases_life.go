package conformance

import (
	"os"
	"path/filepath"

	"github.com/cubefs/cubefs/depends/tiglabs/raft/proto"
)

// lifeCases: opening and closing, and what owners do with the directory.
var lifeCases = []testCase{
	{"close is idempotent", func(c *run) {
		s := c.open()
		c.store(s, entries(1, 6, 1, 64))
		s.Close()
		s.Close()
		c.holds(c.open(), entries(1, 6, 1, 64))
		s.Close()
	}},
	{"bounds and hard state are answered after close", func(c *run) {
		// RaftServer.FirstCommittedIndex asks for them on the caller's goroutine,
		// also of a dead group, and an error panics there.
		s := c.open()
		c.store(s, entries(1, 21, 1, 64))
		c.must(s.StoreHardState(proto.HardState{Term: 1, Vote: 1, Commit: 12}), "StoreHardState")
		c.must(s.Truncate(10), "Truncate")
		s.Close()
		first, last := c.bounds(s)
		c.check(first == 11 && last == 20, "the log is [%d, %d], want [11, 20]", first, last)
		c.hardState(s, proto.HardState{Term: 1, Vote: 1, Commit: 12})
	}},
	{"writes after close are refused", func(c *run) {
		s := c.open()
		c.store(s, entries(1, 6, 1, 64))
		s.Close()
		c.check(s.StoreEntries(entries(6, 8, 1, 64)) != nil, "StoreEntries after Close succeeded")
		c.check(s.StoreHardState(proto.HardState{Term: 9}) != nil, "StoreHardState after Close succeeded")
		c.check(s.ApplySnapshot(proto.SnapshotMeta{Index: 9, Term: 9}) != nil, "ApplySnapshot after Close succeeded")
		c.holds(c.open(), entries(1, 6, 1, 64))
	}},
	{"the directory can be removed after close", func(c *run) {
		s := c.open()
		c.store(s, entries(1, 6, 1, 64))
		s.Close()
		c.must(os.RemoveAll(c.dir()), "RemoveAll")
		s = c.open()
		c.holds(s, nil)
		c.hardState(s, proto.HardState{})
	}},
	{"the directory can be renamed after close", func(c *run) {
		s := c.open()
		c.store(s, entries(1, 6, 1, 64))
		c.must(s.StoreHardState(proto.HardState{Term: 2, Vote: 3, Commit: 4}), "StoreHardState")
		s.Close()
		backup := filepath.Join(c.parent, "backup_7")
		c.must(os.Rename(c.dir(), backup), "rename")
		fresh := c.open()
		c.holds(fresh, nil)
		fresh.Close()
		c.must(os.RemoveAll(c.dir()), "RemoveAll")
		c.must(os.Rename(backup, c.dir()), "rename back")
		s = c.open()
		c.holds(s, entries(1, 6, 1, 64))
		c.hardState(s, proto.HardState{Term: 2, Vote: 3, Commit: 4})
	}},
	{"the parent can be renamed after close", func(c *run) {
		parent := filepath.Join(c.parent, "dp_7")
		c.must(os.Mkdir(parent, 0o755), "mkdir")
		s, err := c.tryOpen(filepath.Join(parent, "wal_7"))
		c.must(err, "open")
		c.store(s, entries(1, 6, 1, 64))
		s.Close()
		moved := filepath.Join(c.parent, "moved_7")
		c.must(os.Rename(parent, moved), "rename")
		s, err = c.tryOpen(filepath.Join(moved, "wal_7"))
		c.must(err, "open at the new place")
		c.holds(s, entries(1, 6, 1, 64))
	}},
	{"only the last path component is made", func(c *run) {
		parent := filepath.Join(c.parent, "removed")
		s, err := c.tryOpen(filepath.Join(parent, "wal_7"))
		if err == nil {
			s.Close()
		}
		_, statErr := os.Stat(parent)
		c.check(os.IsNotExist(statErr), "opening a log made the removed directory above it again")
		c.check(err != nil, "a log was opened under a directory that is not there")
	}},
	{"a directory is open once", func(c *run) {
		s := c.open()
		c.store(s, entries(1, 6, 1, 64))
		_, err := c.tryOpen(c.dir())
		c.check(err != nil, "the directory was opened a second time")
		c.store(s, entries(6, 8, 1, 64))
		c.holds(s, entries(1, 8, 1, 64))
	}},
	{"many openings keep everything", func(c *run) {
		for i := uint64(1); i <= 20; i++ {
			s := c.open()
			c.store(s, entries(i, i+1, i, 64))
			c.must(s.StoreHardState(proto.HardState{Term: i, Vote: 1, Commit: i}), "StoreHardState")
			s.Close()
		}
		s := c.open()
		first, last := c.bounds(s)
		c.check(first == 1 && last == 20, "the log is [%d, %d], want [1, 20]", first, last)
		c.hardState(s, proto.HardState{Term: 20, Vote: 1, Commit: 20})
	}},
}
