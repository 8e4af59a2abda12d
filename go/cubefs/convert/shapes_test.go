package convert

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/cubefs/cubefs/depends/tiglabs/raft/proto"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage/wal"
)

// shape is a directory as CubeFS's WAL may leave it.
type shape struct {
	name   string
	config *wal.Config
	make   func(t testing.TB, s *wal.Storage)
	// after changes the closed directory, as a crash would.
	after func(t testing.TB, dir string)
	files int // that there must be; 0 for any
	// raised is the hard state that an import makes of the log's own, if it is another.
	raised func(proto.HardState) proto.HardState
}

var shapes = []shape{
	{name: "empty", make: func(testing.TB, *wal.Storage) {}, files: 1},
	{name: "fresh META", files: 1, make: func(t testing.TB, s *wal.Storage) {
		must(t, s.StoreHardState(proto.HardState{Term: 3, Vote: 2}))
	}},
	{name: "first entry compacted by configuration", config: &wal.Config{TruncateFirstDummy: true}, make: func(testing.TB, *wal.Storage) {},
		raised: func(h proto.HardState) proto.HardState { h.Commit = 1; return h }},
	{name: "one file, both types", files: 1, make: func(t testing.TB, s *wal.Storage) {
		must(t, s.StoreEntries(entries(1, 40, 2, 100)))
		must(t, s.StoreEntries(entries(40, 41, 2, 0)))
		must(t, s.StoreHardState(proto.HardState{Term: 2, Vote: 1, Commit: 30}))
	}},
	{name: "many files, rotated by size, 128 KiB payloads", config: smallFiles, make: func(t testing.TB, s *wal.Storage) {
		for i := uint64(1); i <= 60; i += 4 {
			must(t, s.StoreEntries(entries(i, i+4, i/10+1, 128<<10)))
		}
		must(t, s.StoreHardState(proto.HardState{Term: 7, Vote: 3, Commit: 55}))
	}},
	{name: "files of the default size", files: 2, make: func(t testing.TB, s *wal.Storage) {
		for i := uint64(1); i <= 320; i += 20 {
			must(t, s.StoreEntries(entries(i, i+20, 1, 128<<10+33)))
		}
		must(t, s.StoreHardState(proto.HardState{Term: 1, Vote: 3, Commit: 320}))
	}},
	{name: "rotated by time", files: 3, make: func(t testing.TB, s *wal.Storage) {
		for i := uint64(1); i <= 3; i++ {
			must(t, s.StoreEntries(entries(100*i-99, 100*i+1, i, 12<<10)))
			ageFile(s)
		}
		must(t, s.StoreHardState(proto.HardState{Term: 3, Vote: 3, Commit: 250}))
	}},
	{name: "replaced suffix in the last file", config: smallFiles, make: func(t testing.TB, s *wal.Storage) {
		must(t, s.StoreEntries(entries(1, 40, 1, 64<<10)))
		must(t, s.StoreEntries(entries(38, 45, 2, 1000)))
		must(t, s.StoreHardState(proto.HardState{Term: 2, Vote: 1, Commit: 37}))
	}},
	{name: "replaced suffix over files", config: smallFiles, make: func(t testing.TB, s *wal.Storage) {
		must(t, s.StoreEntries(entries(1, 100, 1, 64<<10)))
		must(t, s.StoreEntries(entries(20, 90, 3, 64<<10)))
		must(t, s.StoreHardState(proto.HardState{Term: 3, Vote: 1, Commit: 19}))
	}},
	{name: "everything replaced", config: smallFiles, make: func(t testing.TB, s *wal.Storage) {
		must(t, s.StoreEntries(entries(1, 50, 1, 64<<10)))
		must(t, s.StoreEntries(entries(1, 30, 2, 64<<10)))
		must(t, s.StoreHardState(proto.HardState{Term: 2, Vote: 2}))
	}},
	{name: "truncated front", config: smallFiles, make: func(t testing.TB, s *wal.Storage) {
		must(t, s.StoreEntries(entries(1, 100, 4, 64<<10)))
		must(t, s.StoreHardState(proto.HardState{Term: 4, Vote: 1, Commit: 80}))
		must(t, s.Truncate(51))
	}},
	{name: "truncated to the last entry", config: smallFiles, make: func(t testing.TB, s *wal.Storage) {
		must(t, s.StoreEntries(entries(1, 100, 4, 64<<10)))
		must(t, s.StoreHardState(proto.HardState{Term: 4, Vote: 1, Commit: 99}))
		must(t, s.Truncate(99))
	}},
	{name: "truncated front, replaced from there", config: smallFiles, make: func(t testing.TB, s *wal.Storage) {
		must(t, s.StoreEntries(entries(1, 60, 4, 64<<10)))
		must(t, s.StoreHardState(proto.HardState{Term: 5, Vote: 1, Commit: 30}))
		must(t, s.Truncate(30))
		must(t, s.StoreEntries(entries(31, 50, 5, 64<<10)))
	}},
	{name: "snapshot", make: func(t testing.TB, s *wal.Storage) {
		must(t, s.StoreEntries(entries(1, 30, 1, 100)))
		must(t, s.StoreHardState(proto.HardState{Term: 6, Vote: 1, Commit: 20}))
		must(t, s.ApplySnapshot(proto.SnapshotMeta{Index: 500, Term: 6}))
	}},
	{name: "snapshot, and entries behind it", config: smallFiles, make: func(t testing.TB, s *wal.Storage) {
		must(t, s.StoreHardState(proto.HardState{Term: 6, Vote: 1}))
		must(t, s.ApplySnapshot(proto.SnapshotMeta{Index: 500, Term: 6}))
		must(t, s.StoreEntries(entries(501, 560, 6, 64<<10)))
		must(t, s.StoreHardState(proto.HardState{Term: 6, Vote: 1, Commit: 540}))
	}},
	{name: "torn tail", make: func(t testing.TB, s *wal.Storage) {
		must(t, s.StoreEntries(entries(1, 30, 1, 1000)))
		must(t, s.StoreHardState(proto.HardState{Term: 1, Vote: 1, Commit: 25}))
	}, after: func(t testing.TB, dir string) { cutLast(t, dir, 500) }},
	{name: "zeros at the end", make: func(t testing.TB, s *wal.Storage) {
		must(t, s.StoreEntries(entries(1, 30, 1, 1000)))
		must(t, s.StoreHardState(proto.HardState{Term: 1, Vote: 1, Commit: 25}))
	}, after: func(t testing.TB, dir string) {
		cutLast(t, dir, 500)
		cutLast(t, dir, -6000)
	}},
	{name: "last file sealed, the next one not there", files: 1, make: func(t testing.TB, s *wal.Storage) {
		must(t, s.StoreEntries(entries(1, 200, 2, 12<<10)))
		must(t, s.StoreHardState(proto.HardState{Term: 2, Vote: 1, Commit: 150}))
		ageFile(s)
		must(t, s.StoreEntries(entries(200, 201, 2, 10)))
	}, after: func(t testing.TB, dir string) {
		must(t, os.Remove(logs(t, dir)[1]))
	}},
	{name: "META behind the log, as a crash between the two leaves it", make: func(t testing.TB, s *wal.Storage) {
		must(t, s.StoreHardState(proto.HardState{Term: 4, Vote: 2}))
		must(t, s.StoreEntries(entries(1, 30, 5, 100)))
	}, raised: func(h proto.HardState) proto.HardState { return proto.HardState{Term: 5, Commit: h.Commit} }},
}

func cutLast(t testing.TB, dir string, bytes int64) {
	t.Helper()
	names := logs(t, dir)
	last := names[len(names)-1]
	info, err := os.Stat(last)
	must(t, err)
	must(t, os.Truncate(last, info.Size()-bytes))
}

func (s *shape) build(t testing.TB) (dir string, want contents) {
	t.Helper()
	dir = walDir(t)
	storage := openCubeFS(t, dir, s.config)
	s.make(t, storage)
	storage.Close()
	if s.after != nil {
		s.after(t, dir)
	}
	if got := len(logs(t, dir)); s.files != 0 && got != s.files || s.config == smallFiles && got < 1 {
		t.Fatalf("%d files, want %d", got, s.files)
	}
	// Only the first opening of a log may have that.
	reopen := wal.Config{}
	if s.config != nil {
		reopen.FileSize = s.config.FileSize
	}
	want = readCubeFS(t, dir, &reopen)
	if s.raised != nil {
		want.Hard = s.raised(want.Hard)
	}
	return dir, want
}

// TestShapes takes every shape through import, undo, export to a new directory
// and export in place, and lets both libraries write on.
func TestShapes(t *testing.T) {
	engine := newEngine(t)
	for i := range shapes {
		s := &shapes[i]
		t.Run(s.name, func(t *testing.T) {
			dir, want := s.build(t)
			before := tree(t, dir)

			found, err := engine.InspectCubeFS(at(dir))
			must(t, err)
			if d := found.Damage(); d != nil {
				t.Fatalf("damage: %+v", *d)
			}
			sameTree(t, "inspect", tree(t, dir), before)
			if _, err := engine.ImportCubeFS(at(dir)); err != nil {
				t.Fatal(err)
			}
			same(t, "imported", readBulkhead(t, engine, dir), want)
			if s, err := wal.NewStorage(dir, nil); err == nil {
				s.Close()
				t.Fatal("CubeFS opens an imported directory")
			}

			must(t, engine.UndoCubeFSImport(at(dir)))
			sameTree(t, "undone", tree(t, dir), before)

			_, err = engine.ImportCubeFS(at(dir))
			must(t, err)
			target := filepath.Join(t.TempDir(), "exported")
			_, err = engine.ExportCubeFS(at(dir), target)
			must(t, err)
			same(t, "exported", readCubeFS(t, target, nil), want)

			_, err = engine.ExportCubeFS(at(dir), "")
			must(t, err)
			same(t, "exported in place", readCubeFS(t, dir, nil), want)
			want = writeOn(t, openCubeFS(t, dir, smallFiles), want)
			_, err = engine.ImportCubeFS(at(dir))
			must(t, err)
			same(t, "imported again", readBulkhead(t, engine, dir), want)
			want = writeOn(t, openBulkhead(t, engine, dir), want)
			must(t, engine.DiscardCubeFSOriginal(at(dir)))
			_, err = engine.ExportCubeFS(at(dir), "")
			must(t, err)
			same(t, "exported again", readCubeFS(t, dir, nil), want)
		})
	}
}

// storageOf is what both have.
type storageOf interface {
	FirstIndex() (uint64, error)
	StoreEntries([]*proto.Entry) error
	StoreHardState(proto.HardState) error
	Close()
}

// writeOn replaces the last entry, if it is not committed, appends and votes.
func writeOn(t testing.TB, s storageOf, before contents) contents {
	t.Helper()
	term := before.Hard.Term + 1
	first := before.Last + 1
	if before.Last > before.Hard.Commit && before.Last >= before.First {
		first--
	}
	must(t, s.StoreEntries(entries(first, first+30, term, 50<<10)))
	after := before
	after.Hard = proto.HardState{Term: term, Vote: 9, Commit: first + 10}
	must(t, s.StoreHardState(after.Hard))
	s.Close()
	kept := before.Entries[:first-before.First]
	after.Entries = append([]proto.Entry{}, kept...)
	for _, e := range entries(first, first+30, term, 50<<10) {
		after.Entries = append(after.Entries, *e)
	}
	after.Last = first + 29
	return after
}
