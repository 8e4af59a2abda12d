package shadow

import (
	"path/filepath"
	"testing"

	"github.com/bulkhead-wal/bulkhead/go/cubefs"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/proto"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage/wal"
)

// TestCleanShadow: whatever raft does to its log, the shadow must follow, and
// agree on every read that it covers.
func TestCleanShadow(t *testing.T) {
	s, root := pair(t, openTarget)
	must(t, s.StoreHardState(proto.HardState{Term: 1, Vote: 1})) // before the first entry
	must(t, s.StoreEntries(batch(1, 40, 1, 100)))
	settled(t, s)
	read(t, s)
	must(t, s.StoreHardState(proto.HardState{Term: 2, Vote: 3, Commit: 20}))
	must(t, s.StoreEntries(batch(30, 60, 2, 100))) // replaces a suffix
	must(t, s.StoreEntries(batch(60, 61, 2, 0)))
	must(t, s.StoreEntries(nil))
	settled(t, s)
	read(t, s)
	must(t, s.Truncate(20))
	must(t, s.Truncate(10)) // again
	if s.Truncate(1000) == nil {
		t.Error("a truncation beyond the log succeeded")
	}
	settled(t, s)
	read(t, s)
	must(t, s.ApplySnapshot(proto.SnapshotMeta{})) // raft does so before a snapshot has arrived
	must(t, s.ApplySnapshot(proto.SnapshotMeta{Index: 500, Term: 4}))
	must(t, s.StoreHardState(proto.HardState{Term: 4, Vote: 3, Commit: 500}))
	must(t, s.StoreEntries(batch(501, 520, 4, 5000)))
	must(t, s.StoreHardState(proto.HardState{Term: 4, Vote: 3, Commit: 510}))
	settled(t, s)
	read(t, s)
	r := clean(t, s, root)
	if r.Compared < 150 || r.Changes < 9 {
		t.Errorf("hardly anything was compared: %+v", r)
	}
}

// TestShadowOfALongLog: the log has a past that the shadow does not know; raft may
// go back behind the shadow's start.
func TestShadowOfALongLog(t *testing.T) {
	dir := t.TempDir()
	open := func() storage.Storage {
		native, err := wal.NewStorage(filepath.Join(dir, "wal_7"), &wal.Config{})
		must(t, err)
		return native
	}
	native := open()
	must(t, native.StoreEntries(batch(1, 101, 3, 64)))
	must(t, native.StoreHardState(proto.HardState{Term: 3, Vote: 2, Commit: 60}))
	native.Close()
	root := filepath.Join(dir, "shadows")
	s := New(open(), Config{Root: root, ID: id, Log: cubefs.Config{Engine: engine}})
	t.Cleanup(func() { closed(t, s) })
	read(t, s) // before the first entry
	must(t, s.StoreEntries(batch(101, 111, 3, 64)))
	must(t, s.StoreHardState(proto.HardState{Term: 3, Vote: 2, Commit: 70})) // below the shadow's start
	settled(t, s)
	read(t, s)
	must(t, s.Truncate(50)) // below it as well
	must(t, s.StoreEntries(batch(80, 90, 4, 64)))
	must(t, s.StoreHardState(proto.HardState{Term: 4, Vote: 2, Commit: 85}))
	settled(t, s)
	read(t, s)
	must(t, s.Truncate(85))
	settled(t, s)
	read(t, s)
	if r := clean(t, s, root); r.Compared == 0 || r.Restarts != 1 {
		t.Errorf("%+v", r)
	}
}
