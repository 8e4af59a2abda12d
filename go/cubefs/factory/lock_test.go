package factory

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
	"github.com/bulkhead-wal/bulkhead/go/cubefs/registry"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage/wal"
)

// TestOpenLogIsNotImported: of two loads of a group at a time the first may have opened its
// log without having registered the group, or have failed to make it. CubeFS's WAL takes no
// lock: an import by the second would take the files from under the first.
func TestOpenLogIsNotImported(t *testing.T) {
	warned := reset(t)
	dir := filepath.Join(t.TempDir(), "wal_1")
	first := openGroup(t, dir, 1)
	grow(t, first, 1, many)
	set(t, Policy{Enabled: true, Share: Share{Percent: 100}, Import: true})
	second := openGroup(t, dir, 1)
	if engineOf(second) != "cubefs" || !strings.Contains(warned.all(), "has it open") {
		t.Errorf("kept by %s; warned: %s", engineOf(second), warned.all())
	}
	second.Close() // as raft does when the group exists
	grow(t, first, many, many+20)
	first.Close()
	first.Close()
	s := openGroup(t, dir, 1)
	if engineOf(s) != "bulkhead" {
		t.Errorf("it is not imported after that: %s", warned.all())
	}
	holdsAll(t, s, 1, many+20)
	s.Close()
	if len(sites.of) != 0 {
		t.Errorf("%d directories are still watched", len(sites.of))
	}
}

// TestOpenLogIsLocked: another process, bulkhead import perhaps, would take the files
// from under CubeFS's WAL, which goes on writing to them; also those of a log that it
// has just made.
func TestOpenLogIsLocked(t *testing.T) {
	reset(t)
	other, err := bulkhead.Open(bulkhead.EngineConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	dir := filepath.Join(t.TempDir(), "wal_1")
	config := bulkhead.CubeFSConfig{Path: dir, ID: 1}
	for _, from := range []uint64{1, many} {
		first, second := openGroup(t, dir, 1), openGroup(t, dir, 1)
		grow(t, first, from, from+many-1)
		second.Close()
		if _, err := other.ImportCubeFS(config); !errors.Is(err, bulkhead.ErrLocked) {
			t.Fatalf("an import beside CubeFS's WAL: %v", err)
		}
		first.Close()
	}
	if _, err := other.ImportCubeFS(config); err != nil {
		t.Fatalf("an import of a log that is closed: %v", err)
	}
}

// TestLockedLogIsNotOpened: another process converts the directory, and would move
// its files from under CubeFS's WAL.
func TestLockedLogIsNotOpened(t *testing.T) {
	reset(t)
	dir := filepath.Join(t.TempDir(), "wal_1")
	s := openGroup(t, dir, 1)
	grow(t, s, 1, many)
	s.Close()
	other, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(other.Fd()), syscall.LOCK_EX); err != nil { // as bulkhead import does
		t.Fatal(err)
	}
	for _, policy := range []Policy{{}, {Enabled: true, Share: Share{Percent: 100}, Import: true}} {
		set(t, policy)
		if s, err := registry.NewStorage(dir, &wal.Config{}, registry.Group{ID: 1}); !errors.Is(err, bulkhead.ErrLocked) {
			if err == nil {
				s.Close()
			}
			t.Errorf("a directory that somebody converts, import %v: %T, %v", policy.Import, s, err)
		}
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	s = openGroup(t, dir, 1)
	defer s.Close()
	if engineOf(s) != "bulkhead" {
		t.Errorf("kept by %s", engineOf(s))
	}
	holdsAll(t, s, 1, many)
}
