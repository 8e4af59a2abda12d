package convert

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/proto"
)

func run(t testing.TB, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
}

// TestConversionOnADiskThatHangs: a frozen filesystem lets nobody change anything,
// and nobody who tries return, until it is thawed.
func TestConversionOnADiskThatHangs(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("it mounts a filesystem: run it as root")
	}
	const stall, margin = 300 * time.Millisecond, 2 * time.Second
	image, mount := filepath.Join(t.TempDir(), "image"), t.TempDir()
	f, err := os.Create(image)
	must(t, err)
	must(t, f.Truncate(64<<20))
	must(t, f.Close())
	run(t, "mkfs.ext4", "-q", "-F", image)
	run(t, "mount", "-o", "loop", image, mount)
	defer run(t, "umount", mount)
	engine, err := bulkhead.Open(bulkhead.EngineConfig{StallLimit: stall})
	must(t, err)
	defer func() { must(t, engine.Close()) }()
	dir := filepath.Join(mount, "wal_7")
	s := openCubeFS(t, dir, smallFiles)
	must(t, s.StoreEntries(entries(1, 1000, 1, 4096)))
	must(t, s.StoreHardState(proto.HardState{Term: 1, Vote: 1, Commit: 500}))
	want := read(t, s)
	s.Close()
	imported := func() error { _, err := engine.ImportCubeFS(at(dir)); return err }
	exported := func() error { _, err := engine.ExportCubeFS(at(dir), ""); return err }
	discarded := func() error { return engine.DiscardCubeFSOriginal(at(dir)) }
	for _, step := range []struct {
		name string
		call func() error
	}{{"import", imported}, {"discard", discarded}, {"export", exported}} {
		run(t, "fsfreeze", "-f", mount)
		begun := time.Now()
		hangs, took := step.call(), time.Since(begun)
		again := step.call()
		_, opened := engine.OpenPartition(bulkhead.PartitionConfig{Path: dir, ID: partitionID, Disposition: bulkhead.OpenExisting})
		run(t, "fsfreeze", "-u", mount)
		t.Logf("%s, %v: %v", step.name, took, hangs)
		if !errors.Is(hangs, bulkhead.ErrStalled) || took > stall+margin {
			t.Errorf("%s on a disk that hangs, after %v: %v", step.name, took, hangs)
		}
		if !errors.Is(again, bulkhead.ErrBusy) || !errors.Is(opened, bulkhead.ErrBusy) {
			t.Errorf("%s: a second one: %v; an open: %v", step.name, again, opened)
		}
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			err = step.call()
			if time.Now().After(end) || !errors.Is(err, bulkhead.ErrBusy) && !errors.Is(err, bulkhead.ErrLocked) {
				break
			}
		}
		if err != nil {
			t.Fatalf("%s when the disk is back: %v", step.name, err)
		}
	}
	s = openCubeFS(t, dir, nil)
	defer s.Close()
	same(t, "there and back", read(t, s), want)
}
