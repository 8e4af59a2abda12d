package cubefs

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/proto"
)

func TestPartitionIDFromTheDirectory(t *testing.T) {
	for name, want := range map[string]uint64{"wal_123": 123, "42": 42, "dp_5_wal_9": 9, "wal_007": 7, "18446744073709551615": 1<<64 - 1} {
		if id, ok := trailingNumber(name); !ok || id != want {
			t.Errorf("%s: %d, %v", name, id, ok)
		}
	}
	for _, name := range []string{"wal", "wal_", "0", "wal_0", "18446744073709551616", "12a", ""} {
		if id, ok := trailingNumber(name); ok {
			t.Errorf("%s: %d", name, id)
		}
	}
	if _, err := NewStorage(filepath.Join(t.TempDir(), "wal"), nil); !errors.Is(err, bulkhead.ErrInvalidConfig) {
		t.Errorf("a directory without a number: %v", err)
	}
	s := open(t, filepath.Join(t.TempDir(), "wal"), &Config{PartitionID: 12})
	if id := s.Partition().ID(); id != 12 {
		t.Errorf("partition id %d, want 12", id)
	}
}

// A log that ends before what was applied would make the replica diverge.
func TestAppliedBeyondTheLogIsDamage(t *testing.T) {
	dir := walDir(t)
	s := open(t, dir, nil)
	store(t, s, 1, 11, 1)
	s.Close()
	_, err := NewStorage(dir, &Config{AppliedIndex: 11})
	var e *bulkhead.Error
	if !errors.As(err, &e) || e.Code != bulkhead.ErrDamaged {
		t.Fatalf("applied 11 of a log that ends at 10: %v", err)
	}
	open(t, dir, &Config{AppliedIndex: 10}).Close()
	s = open(t, dir, nil)
	if last, _ := s.LastIndex(); last != 10 {
		t.Errorf("the log ends at %d, want 10", last)
	}
}

// The group was made: a second one must not touch its log.
func TestOpenTwiceWithoutAHook(t *testing.T) {
	dir := walDir(t)
	s := open(t, dir, nil)
	store(t, s, 1, 4, 1)
	if _, err := NewStorage(dir, nil); !errors.Is(err, bulkhead.ErrAlreadyOpen) {
		t.Fatalf("the second open: %v", err)
	}
	store(t, s, 4, 6, 1)
}

func TestOpenTwiceRegistered(t *testing.T) {
	dir := walDir(t)
	s := open(t, dir, nil)
	asked := uint64(0)
	_, err := NewStorage(dir, &Config{Registered: func(id uint64) bool { asked = id; return true }})
	if err == nil || err.Error() != "raft already exists." || !errors.Is(err, bulkhead.ErrAlreadyOpen) || asked != 7 {
		t.Fatalf("the second open: %v, asked for %d", err, asked)
	}
	store(t, s, 1, 3, 1)
}

// The group could not be made: its storage is never closed, and creation is
// tried again every 5 s.
func TestOpenTwiceNotRegistered(t *testing.T) {
	dir := walDir(t)
	faults := newTold()
	config := &Config{Registered: func(uint64) bool { return false }, OnFault: faults.add}
	old := open(t, dir, config)
	store(t, old, 1, 4, 1)
	s := open(t, dir, config)
	if last, _ := s.LastIndex(); last != 3 {
		t.Errorf("the log ends at %d, want 3", last)
	}
	if err := old.StoreEntries(entry(4, 1, "from the dead")); !errors.Is(err, bulkhead.ErrClosed) {
		t.Errorf("the storage that was replaced still writes: %v", err)
	}
	store(t, s, 4, 6, 1)
	old.Close()
	store(t, s, 6, 8, 1)
	if f, _ := faults.one(t); f.State != bulkhead.StateClosed || !errors.Is(f.Err, bulkhead.ErrClosed) { // raft had used it all the same
		t.Errorf("told: %+v", f)
	}
}

// At creation a panic would end the datanode.
func TestNewStorageNeverPanics(t *testing.T) {
	dir := walDir(t)
	open(t, dir, nil)
	if _, err := NewStorage(dir, &Config{Registered: func(uint64) bool { panic("no server yet") }}); !errors.Is(err, bulkhead.ErrPanic) {
		t.Errorf("a hook that panics: %v", err)
	}
	for _, path := range []string{"", "/", "\x00_1", "/no/such/parent/wal_1"} {
		if s, err := NewStorage(path, nil); err == nil {
			t.Errorf("%q was opened", path)
			s.Close()
		}
	}
	engine, err := bulkhead.Open(bulkhead.EngineConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if err := engine.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := NewStorage(walDir(t), &Config{Engine: engine}); !errors.Is(err, bulkhead.ErrClosed) {
		t.Errorf("a closed engine: %v", err)
	}
}

// A damaged log is refused with its fault, and not left open.
func TestDamagedLogIsRefused(t *testing.T) {
	dir := walDir(t)
	s := open(t, dir, nil)
	store(t, s, 1, 11, 1)
	if err := s.StoreHardState(proto.HardState{Term: 1, Vote: 2, Commit: 10}); err != nil {
		t.Fatal(err)
	}
	s.Close()
	path := filepath.Join(dir, "root")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, make([]byte, len(good)), 0o600); err != nil {
		t.Fatal(err)
	}
	faults := newTold()
	_, err = NewStorage(dir, &Config{OnFault: faults.add})
	var e *bulkhead.Error
	if !errors.As(err, &e) || e.Code != bulkhead.ErrDamaged {
		t.Errorf("a log whose state file is all zeros: %v", err)
	}
	faults.none(t) // it was returned
	if err := os.WriteFile(path, good, 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, nil)
	if h, _ := s.InitialState(); h != (proto.HardState{Term: 1, Vote: 2, Commit: 10}) {
		t.Errorf("hard state %+v", h)
	}
}

// One bad entry must not cost the others, and must never be read as good.
func TestDamagedEntry(t *testing.T) {
	dir := walDir(t)
	s := open(t, dir, nil)
	store(t, s, 1, 21, 1)
	s.Close()
	flipPayload(t, dir, []byte("payload 10 of term 1"))
	faults := newTold()
	s = open(t, dir, &Config{OnFault: faults.add})
	for i := uint64(1); i < 21; i++ {
		got, compact, err := s.Entries(i, i+1, 1<<20)
		if i != 10 && (err != nil || compact || len(got) != 1) {
			t.Errorf("entry %d: %d entries, %v, %v", i, len(got), compact, err)
		}
		if i == 10 && !errors.Is(err, bulkhead.ErrDamaged) {
			t.Errorf("the damaged entry: %v", err)
		}
	}
	f, _ := faults.one(t)
	if f.State != bulkhead.StateReadWrite || f.Cause != bulkhead.CauseDamage || f.First != 10 || f.Last != 10 || f.Errno != 0 {
		t.Errorf("%+v", f)
	}
	store(t, s, 21, 23, 1)
}

func flipPayload(t *testing.T, dir string, payload []byte) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if info, err := os.Stat(path); err != nil || info.IsDir() {
			continue
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if at := bytes.Index(content, payload); at >= 0 {
			content[at+2] ^= 4
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("%q is in no file", payload)
}
