package factory

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
	"github.com/bulkhead-wal/bulkhead/go/cubefs/registry"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/proto"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage/wal"
)

const many = 200

func payloadOf(i uint64) []byte { return bytes.Repeat([]byte{byte(i), 'x'}, int(i)) }

func grow(t *testing.T, s storage.Storage, lo, hi uint64) {
	t.Helper()
	for i := lo; i < hi; i++ {
		if err := s.StoreEntries([]*proto.Entry{{Index: i, Term: 3, Data: payloadOf(i)}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.StoreHardState(proto.HardState{Term: 3, Vote: 2, Commit: hi - 1}); err != nil {
		t.Fatal(err)
	}
}

func holdsAll(t *testing.T, s storage.Storage, lo, hi uint64) {
	t.Helper()
	entries, compact, err := s.Entries(lo, hi, 1<<32-1)
	if err != nil || compact || uint64(len(entries)) != hi-lo {
		t.Fatalf("%d entries of [%d, %d), %v, %v", len(entries), lo, hi, compact, err)
	}
	for i, e := range entries {
		if e.Index != lo+uint64(i) || e.Term != 3 || !bytes.Equal(e.Data, payloadOf(e.Index)) {
			t.Fatalf("entry %d is not what was stored", e.Index)
		}
	}
	if last, _ := s.LastIndex(); last != hi-1 {
		t.Errorf("the log ends at %d, want %d", last, hi-1)
	}
	if hard, _ := s.InitialState(); hard != (proto.HardState{Term: 3, Vote: 2, Commit: hi - 1}) {
		t.Errorf("the hard state is %+v", hard)
	}
}

// TestRolloutAndBack is what an operator does, group by group: import, go on, and
// back; twice, since one may change one's mind.
func TestRolloutAndBack(t *testing.T) {
	warned := reset(t)
	dir := filepath.Join(t.TempDir(), "wal_1")
	s := openGroup(t, dir, 1)
	grow(t, s, 1, many)
	s.Close()
	end := uint64(many)
	for round := 0; round < 2; round++ {
		set(t, Policy{Enabled: true, Share: Share{Percent: 100}, Import: true})
		s = openGroup(t, dir, 1)
		if engineOf(s) != "bulkhead" {
			t.Fatalf("it was not imported: %s", warned.all())
		}
		holdsAll(t, s, 1, end)
		grow(t, s, end, end+20)
		end += 20
		s.Close()
		s = openGroup(t, dir, 1) // again, without an import
		holdsAll(t, s, 1, end)
		s.Close()
		set(t, Policy{Export: true})
		s = openGroup(t, dir, 1)
		if engineOf(s) != "cubefs" {
			t.Fatalf("it was not exported: %s", warned.all())
		}
		holdsAll(t, s, 1, end)
		grow(t, s, end, end+20)
		end += 20
		s.Close()
	}
	native, err := wal.NewStorage(dir, &wal.Config{})
	if err != nil {
		t.Fatal(err)
	}
	holdsAll(t, native, 1, end)
	native.Close()
}

// TestOriginalsAreDiscarded by policy: at the open after the conversion, and not of
// a log that is not whole.
func TestOriginalsAreDiscarded(t *testing.T) {
	warned := reset(t)
	dir := filepath.Join(t.TempDir(), "wal_1")
	kept := func() string {
		names, err := filepath.Glob(filepath.Join(dir, "*-original"))
		if err != nil {
			t.Fatal(err)
		}
		for i := range names {
			names[i] = filepath.Base(names[i])
		}
		return strings.Join(names, " ")
	}
	open := func(want string) {
		t.Helper()
		s := openGroup(t, dir, 1)
		defer s.Close()
		holdsAll(t, s, 1, many)
		if got := kept(); got != want {
			t.Errorf("kept is %q, want %q: %s", got, want, warned.all())
		}
	}
	s := openGroup(t, dir, 1)
	grow(t, s, 1, many)
	s.Close()
	imports := Policy{Enabled: true, Share: Share{Percent: 100}, Import: true}
	set(t, imports)
	open("cubefs-original")
	open("cubefs-original")
	imports.DiscardOriginal = true
	set(t, imports)
	open("")
	set(t, Policy{Export: true})
	open("bulkhead-original")
	set(t, imports)
	open("cubefs-original") // Bulkhead's of before went first
	set(t, Policy{Export: true, DiscardOriginal: true})
	open("bulkhead-original") // and so did CubeFS's
	logs, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(logs) != 1 {
		t.Fatal(logs, err)
	}
	text, err := os.ReadFile(logs[0])
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 1
	if err := os.WriteFile(logs[0], text, 0o600); err != nil {
		t.Fatal(err)
	}
	openGroup(t, dir, 1).Close()
	if kept() != "bulkhead-original" || !strings.Contains(warned.all(), "is not discarded") {
		t.Errorf("of a damaged log %q is kept: %s", kept(), warned.all())
	}
}

// TestDamagedLogIsNotImported: it stays where it is, with the group running, and
// the operator hears why.
func TestDamagedLogIsNotImported(t *testing.T) {
	warned := reset(t)
	dir := filepath.Join(t.TempDir(), "wal_1")
	s := openGroup(t, dir, 1)
	grow(t, s, 1, many)
	s.Close()
	logs, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(logs) != 1 {
		t.Fatal(logs, err)
	}
	text, err := os.ReadFile(logs[0])
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 1
	if err := os.WriteFile(logs[0], text, 0o600); err != nil {
		t.Fatal(err)
	}
	set(t, Policy{Enabled: true, Share: Share{Percent: 100}, Import: true})
	s = openGroup(t, dir, 1)
	defer s.Close()
	if engineOf(s) != "cubefs" || !strings.Contains(warned.all(), "not imported") || !strings.Contains(warned.all(), "damaged") {
		t.Errorf("kept by %s; warned: %s", engineOf(s), warned.all())
	}
}

// TestUnreadableLogIsNotImported: CubeFS's WAL opens a log with an old file that
// cannot be read, and reads it only if it is asked for it.
func TestUnreadableLogIsNotImported(t *testing.T) {
	warned := reset(t)
	dir := filepath.Join(t.TempDir(), "wal_1")
	s, err := wal.NewStorage(dir, &wal.Config{FileSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	for i := uint64(1); i <= 40; i++ {
		if err := s.StoreEntries([]*proto.Entry{{Index: i, Term: 1, Data: make([]byte, 100<<10)}}); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	logs, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(logs) < 3 {
		t.Fatal(logs, err)
	}
	// A directory in its place cannot be read.
	if err := os.Remove(logs[0]); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(logs[0], 0o700); err != nil {
		t.Fatal(err)
	}
	set(t, Policy{Enabled: true, Share: Share{Percent: 100}, Import: true})
	again := openGroup(t, dir, 1)
	defer again.Close()
	if engineOf(again) != "cubefs" || !strings.Contains(warned.all(), "not imported") {
		t.Errorf("kept by %s; warned: %s", engineOf(again), warned.all())
	}
}

// TestImportThatHangs: what the kernel still has may be a move of the log's files.
func TestImportThatHangs(t *testing.T) {
	reset(t)
	dir := filepath.Join(t.TempDir(), "wal_1")
	s := openGroup(t, dir, 1)
	grow(t, s, 1, many)
	s.Close()
	l := logOf(dir, registry.Group{ID: 1}, &Policy{})
	done, err := l.imported(func() (report bulkhead.CubeFSReport, err error) {
		return report, &bulkhead.Error{Op: bulkhead.OpImport, Code: bulkhead.ErrStalled}
	})
	if done || !errors.Is(err, bulkhead.ErrStalled) {
		t.Errorf("the log stays with CubeFS's WAL: done %v, %v", done, err)
	}
}

// TestImportThatIsUndecided: META is CubeFS's again, and a power cut may take that, with
// what CubeFS's WAL has written since.
func TestImportThatIsUndecided(t *testing.T) {
	reset(t)
	dir := filepath.Join(t.TempDir(), "wal_1")
	s := openGroup(t, dir, 1)
	grow(t, s, 1, many)
	s.Close()
	l := logOf(dir, registry.Group{ID: 1}, &Policy{})
	done, err := l.imported(func() (report bulkhead.CubeFSReport, err error) {
		return report, &bulkhead.Error{Op: bulkhead.OpImport, Code: bulkhead.ErrBusy, Errno: syscall.EIO}
	})
	if done || !errors.Is(err, bulkhead.ErrBusy) {
		t.Errorf("the log stays with CubeFS's WAL: done %v, %v", done, err)
	}
	// What such an import has left; and a file where it looks for a directory, so that it cannot be settled.
	for _, name := range []string{"cubefs-import", "cubefs-import/META"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	inTheWay := filepath.Join(dir, "cubefs-original")
	if err := os.WriteFile(inTheWay, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, policy := range []Policy{{}, {Enabled: true, Share: Share{Percent: 100}, Import: true}} {
		set(t, policy)
		if s, err := registry.NewStorage(dir, &wal.Config{}, registry.Group{ID: 1}); err == nil {
			s.Close()
			t.Errorf("it is not settled, and is opened: import %v", policy.Import)
		}
	}
	if err := os.Remove(inTheWay); err != nil {
		t.Fatal(err)
	}
	set(t, Policy{})
	s = openGroup(t, dir, 1)
	defer s.Close()
	holdsAll(t, s, 1, many)
	if engineOf(s) != "cubefs" || left(dir, "cubefs-import") {
		t.Errorf("kept by %s, cubefs-import left: %v", engineOf(s), left(dir, "cubefs-import"))
	}
}

// TestImportThatFailsLate: once META is exchanged the directory is not CubeFS's any
// more, whatever the error; its WAL must not be let at it.
func TestImportThatFailsLate(t *testing.T) {
	reset(t)
	dir := filepath.Join(t.TempDir(), "wal_1")
	s := openGroup(t, dir, 1)
	grow(t, s, 1, many)
	s.Close()
	set(t, Policy{Enabled: true, Share: Share{Percent: 100}, Import: true})
	for _, late := range []bool{false, true} {
		l := logOf(dir, registry.Group{ID: 1}, &Policy{})
		done, err := l.imported(func() (report bulkhead.CubeFSReport, err error) {
			if late {
				if _, err = l.runImport(); err != nil {
					t.Fatal(err)
				}
			}
			return report, &bulkhead.Error{Op: bulkhead.OpImport, Code: bulkhead.ErrNoSpace}
		})
		if done || late != errors.Is(err, bulkhead.ErrNoSpace) {
			t.Errorf("late %v: done %v, %v", late, done, err)
		}
	}
}

// TestExportWaitsForASnapshot: what a snapshot is to replace, CubeFS's WAL would show
// to raft again, beside a state machine that may be ahead of it.
func TestExportWaitsForASnapshot(t *testing.T) {
	warned := reset(t)
	set(t, Policy{Enabled: true, Share: Share{Percent: 100}})
	dir := filepath.Join(t.TempDir(), "wal_1")
	s := openGroup(t, dir, 1)
	grow(t, s, 1, 20)
	if err := s.ApplySnapshot(proto.SnapshotMeta{}); err != nil {
		t.Fatal(err)
	}
	s.Close()
	set(t, Policy{Export: true})
	s = openGroup(t, dir, 1)
	if engineOf(s) != "bulkhead" || !strings.Contains(warned.all(), "not exported") {
		t.Errorf("kept by %s; warned: %s", engineOf(s), warned.all())
	}
	if last, _ := s.LastIndex(); last != 0 {
		t.Errorf("the log ends at %d", last)
	}
	if err := s.ApplySnapshot(proto.SnapshotMeta{Index: 50, Term: 3}); err != nil {
		t.Fatal(err)
	}
	s.Close()
	s = openGroup(t, dir, 1)
	defer s.Close()
	if engineOf(s) != "cubefs" {
		t.Errorf("after the snapshot kept by %s: %s", engineOf(s), warned.all())
	}
	if hard, _ := s.InitialState(); hard != (proto.HardState{Term: 3, Vote: 2, Commit: 50}) {
		t.Errorf("the hard state is %+v", hard)
	}
}

// TestImportCutShort: a process that died in the middle left a directory that both
// engines refuse. The next open finishes, whatever the policy says by now.
func TestImportCutShort(t *testing.T) {
	for _, policy := range []Policy{{Enabled: true, Share: Share{Percent: 100}, Import: true}, {}} {
		t.Run(fmt.Sprint(policy.Enabled), func(t *testing.T) {
			reset(t)
			dir := filepath.Join(t.TempDir(), "wal_1")
			s := openGroup(t, dir, 1)
			grow(t, s, 1, many)
			s.Close()
			set(t, Policy{Enabled: true, Share: Share{Percent: 100}, Import: true})
			openGroup(t, dir, 1).Close()
			// Back to before the last step: the root has not arrived yet.
			if err := os.MkdirAll(filepath.Join(dir, "cubefs-import", "META"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(filepath.Join(dir, "root"), filepath.Join(dir, "cubefs-import", "root")); err != nil {
				t.Fatal(err)
			}
			set(t, policy)
			s, err := registry.NewStorage(dir, &wal.Config{}, registry.Group{ID: 1})
			if err != nil {
				t.Fatal(err)
			}
			holdsAll(t, s, 1, many)
			s.Close()
		})
	}
}

// TestExportThatFailsComesBack: one that met a fault in the middle, when the log's
// root was away already, leaves a directory that both engines refuse. The open that
// tried it takes it back itself, if the fault has passed; a group that is down is
// not tried again for that.
func TestExportThatFailsComesBack(t *testing.T) {
	warned := reset(t)
	dir := filepath.Join(t.TempDir(), "wal_1")
	set(t, Policy{Enabled: true, Share: Share{Percent: 100}})
	s := openGroup(t, dir, 1)
	grow(t, s, 1, many)
	s.Close()
	// A directory is where CubeFS's first file is to go.
	inTheWay := filepath.Join(dir, fmt.Sprintf("%016x-%016x.log", 1, 1))
	if err := os.Mkdir(inTheWay, 0o700); err != nil {
		t.Fatal(err)
	}
	cutShort := false
	OnWarning(func(text string) {
		if warned.add(text); strings.Contains(text, "is not exported") {
			_, err := os.Stat(filepath.Join(dir, "root"))
			cutShort = os.IsNotExist(err)
			_ = os.Remove(inTheWay) // the open fails if it is still there
		}
	})
	set(t, Policy{Export: true})
	s = openGroup(t, dir, 1)
	if engineOf(s) != "bulkhead" || !cutShort {
		t.Errorf("kept by %s, cut short: %v: %s", engineOf(s), cutShort, warned.all())
	}
	holdsAll(t, s, 1, many)
	s.Close()
	s = openGroup(t, dir, 1)
	if engineOf(s) != "cubefs" {
		t.Errorf("the next export: kept by %s: %s", engineOf(s), warned.all())
	}
	holdsAll(t, s, 1, many)
	s.Close()
}
