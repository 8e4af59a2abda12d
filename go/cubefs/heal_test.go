package cubefs

import (
	"testing"
	"time"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
)

func state(t testing.TB, s *Storage) bulkhead.Status {
	t.Helper()
	status, err := s.Partition().Status()
	if err != nil {
		t.Fatal(err)
	}
	return status
}

// holds checks that raft reads entries 1 to last.
func holds(t testing.TB, s *Storage, last uint64) {
	t.Helper()
	if got, err := s.LastIndex(); err != nil || got != last {
		t.Errorf("LastIndex: %d, %v, want %d", got, err, last)
	}
	got, compact, err := s.Entries(1, last+1, 1<<30)
	if err != nil || compact || uint64(len(got)) != last {
		t.Errorf("Entries(1, %d): %d entries, %v, %v", last+1, len(got), compact, err)
	}
}

// An owner that was told would stop a group that has not even noticed.
func TestHealedFaultIsNotTold(t *testing.T) {
	for _, mode := range allModes {
		t.Run(mode.String(), func(t *testing.T) {
			faults := newTold()
			s := open(t, walDir(t), &Config{Mode: mode, OnFault: faults.add})
			store(t, s, 1, 4, 1)
			last := uint64(3)
			for round := uint64(1); round <= 8; round++ {
				breakDisk(t, s)
				store(t, s, last+1, last+4, 1)
				last += 3
				if err := s.Partition().Sync(); err != nil { // mode interval
					t.Fatal(err)
				}
				if got := state(t, s); got.State != bulkhead.StateReadWrite || got.Heals < round {
					t.Fatalf("round %d: %v, %d faults healed", round, got.State, got.Heals)
				}
			}
			holds(t, s, last)
			faults.none(t)
		})
	}
}

// Hit between two calls, raft knows nothing of it: when the log is back the group
// goes on, and the next fault is told again.
func TestStorageThatHealedWorksAgain(t *testing.T) {
	engine := engineWith(t, bulkhead.EngineConfig{HealLimit: bulkhead.Never, IdleCheck: bulkhead.Never, Interval: 10 * time.Millisecond, Probe: 100 * time.Millisecond})
	faults := newTold()
	s := open(t, walDir(t), &Config{Engine: engine, Mode: bulkhead.ModeInterval, OnFault: faults.add})
	store(t, s, 1, 4, 1)
	for round := 1; round <= 2; round++ {
		last := s.lastIndex()
		breakDisk(t, s)
		store(t, s, last+1, last+2, 1) // accepted, and the flush fails behind its back
		f, _ := faults.count(t, round)
		checkDiskFault(t, f, s)
		for deadline := time.Now().Add(10 * time.Second); state(t, s).State != bulkhead.StateReadWrite; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("still %v", state(t, s).State)
			}
		}
		store(t, s, last+2, last+5, 1)
		holds(t, s, last+4)
	}
}

// A log that heals after raft has given up, and before it closes the storage: the
// group has ended for its fault, which must not be taken back.
func TestHealAfterRaftGaveUpIsNotTold(t *testing.T) {
	engine := engineWith(t, bulkhead.EngineConfig{HealLimit: bulkhead.Never, IdleCheck: bulkhead.Never, Probe: 50 * time.Millisecond})
	told := make(chan string, 10)
	s := open(t, walDir(t), &Config{
		Engine:   engine,
		OnFault:  func(f Fault) { told <- f.Cause.String() },
		OnHealed: func() { told <- "healed" },
		OnClosed: func() { told <- "closed" },
	})
	store(t, s, 1, 4, 1)
	breakDisk(t, s)
	if err := s.StoreEntries(entry(4, 1, "x")); err == nil {
		t.Fatal("a write to a failed disk succeeded")
	}
	for deadline := time.Now().Add(10 * time.Second); state(t, s).State != bulkhead.StateReadWrite; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still %v", state(t, s).State)
		}
	}
	time.Sleep(50 * time.Millisecond) // for the event
	s.Close()
	if first, second := <-told, <-told; first != bulkhead.CauseIOError.String() || second != "closed" {
		t.Errorf("told: %s, %s", first, second)
	}
}
