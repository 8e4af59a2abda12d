package conformance

import (
	"os"
	"path/filepath"
	"time"

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
	{"the parent can be removed right after close, again and again", func(c *run) {
		// What a datanode does: Stop, then RemoveAll of the partition's directory.
		parent := filepath.Join(c.parent, "dp_7")
		for i := 0; i < 20; i++ {
			c.must(os.Mkdir(parent, 0o755), "mkdir %d", i)
			s, err := c.tryOpen(filepath.Join(parent, "wal_7"))
			c.must(err, "open %d", i)
			c.holds(s, nil) // nothing of the one before
			c.hardState(s, proto.HardState{})
			c.store(s, entries(1, 6, uint64(i+1), 64))
			c.must(s.StoreHardState(proto.HardState{Term: uint64(i + 1), Vote: 1, Commit: 3}), "StoreHardState")
			s.Close()
			c.must(os.RemoveAll(parent), "RemoveAll %d", i)
		}
		time.Sleep(50 * time.Millisecond)
		_, err := os.Stat(parent)
		c.check(os.IsNotExist(err), "the removed directory is there again")
	}},
	{"the parent goes to a backup and comes back", func(c *run) {
		// A datanode's forced delete renames the partition's directory, and its
		// restore renames it back; meanwhile there may be another of the name.
		parent, backup := filepath.Join(c.parent, "dp_7"), filepath.Join(c.parent, "backup_dp_7-20261126")
		c.must(os.Mkdir(parent, 0o755), "mkdir")
		s, err := c.tryOpen(filepath.Join(parent, "wal_7"))
		c.must(err, "open")
		c.store(s, entries(1, 31, 4, 64))
		c.must(s.StoreHardState(proto.HardState{Term: 4, Vote: 2, Commit: 20}), "StoreHardState")
		s.Close()
		c.must(os.Rename(parent, backup), "rename")
		c.must(os.Mkdir(parent, 0o755), "mkdir again")
		s, err = c.tryOpen(filepath.Join(parent, "wal_7"))
		c.must(err, "open the new one")
		c.holds(s, nil)
		c.store(s, entries(1, 9, 9, 64))
		s.Close()
		c.must(os.RemoveAll(parent), "RemoveAll")
		c.must(os.Rename(backup, parent), "rename back")
		s, err = c.tryOpen(filepath.Join(parent, "wal_7"))
		c.must(err, "open the old one")
		c.holds(s, entries(1, 31, 4, 64))
		c.hardState(s, proto.HardState{Term: 4, Vote: 2, Commit: 20})
	}},
	{"the directory can be moved to another parent", func(c *run) {
		s := c.open()
		c.store(s, entries(1, 6, 1, 64))
		s.Close()
		moved := filepath.Join(c.parent, "elsewhere", "wal_7")
		c.must(os.Mkdir(filepath.Dir(moved), 0o755), "mkdir")
		c.must(os.Rename(c.dir(), moved), "rename")
		s, err := c.tryOpen(moved)
		c.must(err, "open at the new place")
		c.holds(s, entries(1, 6, 1, 64))
		c.store(s, entries(6, 9, 1, 64))
		s.Close()
		c.must(os.Rename(moved, c.dir()), "rename back")
		c.holds(c.open(), entries(1, 9, 1, 64))
	}},
	{"the parent can be renamed under an open log", func(c *run) {
		parent, moved := filepath.Join(c.parent, "dp_7"), filepath.Join(c.parent, "moved_7")
		c.must(os.Mkdir(parent, 0o755), "mkdir")
		s, err := c.tryOpen(filepath.Join(parent, "wal_7"))
		c.must(err, "open")
		c.store(s, entries(1, 6, 1, 64))
		c.must(os.Rename(parent, moved), "rename")
		c.store(s, entries(6, 9, 1, 64))
		c.must(s.StoreHardState(proto.HardState{Term: 1, Vote: 1, Commit: 7}), "StoreHardState")
		c.holds(s, entries(1, 9, 1, 64))
		s.Close()
		_, err = os.Stat(parent)
		c.check(os.IsNotExist(err), "the directory is there again under its old name")
		s, err = c.tryOpen(filepath.Join(moved, "wal_7"))
		c.must(err, "open at the new place")
		c.holds(s, entries(1, 9, 1, 64))
	}},
	{"a directory that is removed under an open log stays removed", func(c *run) {
		s := c.open()
		c.store(s, entries(1, 6, 1, 64))
		err := os.RemoveAll(c.dir())
		for i := 0; err != nil && i < 100; i++ { // an open log may still make a file in it
			time.Sleep(time.Millisecond)
			err = os.RemoveAll(c.dir())
		}
		c.must(err, "RemoveAll")
		_ = s.StoreEntries(entries(6, 9, 1, 64)) // it may fail, or go nowhere
		s.Close()
		time.Sleep(50 * time.Millisecond)
		_, err = os.Stat(c.dir())
		c.check(os.IsNotExist(err), "the removed directory is there again")
		s = c.open()
		c.holds(s, nil)
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
