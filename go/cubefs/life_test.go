package cubefs

import (
	"os"
	"path/filepath"
	"testing"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/proto"
)

// failLog closes a log on a failing disk with its entries 1 to last, of which those
// from 4 on met the failure: in modes none and interval they are in memory only.
func failLog(t *testing.T, dir string, engine *bulkhead.Engine, mode bulkhead.Mode) (last uint64) {
	t.Helper()
	s := open(t, dir, &Config{Engine: engine, Mode: mode})
	store(t, s, 1, 4, 1)
	if err := s.StoreHardState(proto.HardState{Term: 1, Vote: 9, Commit: 2}); err != nil {
		t.Fatal(err)
	}
	breakDisk(t, s)
	_ = s.StoreEntries(entry(4, 1, "x")) // in mode interval it is accepted
	_ = s.Partition().Sync()             // and fails here
	last, _ = s.LastIndex()
	s.Close()
	return last
}

// TestDirectoryAfterAFault: right after the close of a log on a failing disk its
// directory is its owner's, in every mode: what is made under its name is a new
// log, and what is renamed is the old one wherever it is.
func TestDirectoryAfterAFault(t *testing.T) {
	for _, mode := range allModes {
		t.Run(mode.String(), func(t *testing.T) {
			engine := neverHeals(t)
			parent := filepath.Join(t.TempDir(), "dp_7")
			moved := parent + "_moved"
			dir := filepath.Join(parent, "wal_7")
			if err := os.Mkdir(parent, 0o755); err != nil {
				t.Fatal(err)
			}
			last := failLog(t, dir, engine, mode)
			if err := os.Rename(parent, moved); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(parent, 0o755); err != nil {
				t.Fatal(err)
			}
			fresh := open(t, dir, &Config{Engine: engine, Mode: mode})
			if n, _ := fresh.LastIndex(); n != 0 {
				t.Errorf("a new directory has a log up to %d", n)
			}
			if h, _ := fresh.InitialState(); h != (proto.HardState{}) {
				t.Errorf("a new directory has the hard state %+v", h)
			}
			store(t, fresh, 1, 9, 5)
			fresh.Close()
			if err := os.RemoveAll(parent); err != nil {
				t.Fatal(err)
			}

			old, err := NewStorage(filepath.Join(moved, "wal_7"), &Config{Engine: engine, Mode: mode})
			if err != nil {
				t.Fatalf("the renamed directory: %v", err)
			}
			defer old.Close()
			if n, _ := old.LastIndex(); n < 3 || n < last {
				t.Errorf("the renamed directory has a log up to %d, it was %d", n, last)
			}
			if h, _ := old.InitialState(); h.Vote != 9 || h.Term != 1 {
				t.Errorf("the renamed directory has the hard state %+v", h)
			}
			entries, _, err := old.Entries(1, 4, 1<<20)
			if err != nil || len(entries) != 3 || string(entries[2].Data) != "payload 3 of term 1" {
				t.Errorf("%d entries, %v", len(entries), err)
			}
			store(t, old, last+1, last+4, 1)
		})
	}
}

// TestRemovedAfterAFault: nothing comes back of a directory that is removed right
// after the close of a log on a failing disk.
func TestRemovedAfterAFault(t *testing.T) {
	for _, mode := range allModes {
		t.Run(mode.String(), func(t *testing.T) {
			engine := neverHeals(t)
			dir := walDir(t)
			for i := 0; i < 3; i++ {
				failLog(t, dir, engine, mode)
				if err := os.RemoveAll(dir); err != nil {
					t.Fatal(err)
				}
				if _, err := os.Stat(dir); !os.IsNotExist(err) {
					t.Fatalf("it is still there: %v", err)
				}
			}
			s := open(t, dir, &Config{Engine: engine, Mode: mode})
			if n, _ := s.LastIndex(); n != 0 {
				t.Errorf("the recreated directory has a log up to %d", n)
			}
		})
	}
}
