package cubefs

import (
	"errors"
	"testing"
	"time"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/proto"
)

// looksEmpty checks what raft sees of a log that a snapshot is to replace.
func looksEmpty(t *testing.T, s *Storage, hard proto.HardState) {
	t.Helper()
	first, _ := s.FirstIndex()
	last, _ := s.LastIndex()
	if first != 1 || last != 0 {
		t.Errorf("the log is [%d, %d]", first, last)
	}
	if got, _ := s.InitialState(); got != hard {
		t.Errorf("the hard state is %+v, want %+v", got, hard)
	}
	if term, compact, err := s.Term(0); term != 0 || compact || err != nil {
		t.Errorf("Term(0) = %d, %v, %v", term, compact, err)
	}
	if _, _, err := s.Term(10); err == nil {
		t.Error("entry 10 has a term")
	}
	if entries, compact, err := s.Entries(10, 11, 1<<20); err == nil || compact {
		t.Errorf("Entries(10, 11) = %v, %v", entries, compact)
	}
}

// A state machine that has taken a snapshot is ahead of the log until raft has
// replaced it: a process that ends in between must not come back with that log.
// Its vote must: it may have made a leader.
func TestLogIsHiddenUntilTheSnapshotIsThere(t *testing.T) {
	for _, mode := range allModes {
		t.Run(mode.String(), func(t *testing.T) {
			dir, faults := walDir(t), newTold()
			config := &Config{Mode: mode, OnFault: faults.add}
			s := open(t, dir, config)
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			store(t, s, 1, 21, 3)
			must(s.StoreHardState(proto.HardState{Term: 3, Vote: 2, Commit: 15}))
			for i := 0; i < 2; i++ { // one that failed, and the next
				must(s.ApplySnapshot(proto.SnapshotMeta{}))
				looksEmpty(t, s, proto.HardState{Term: 3, Vote: 2})
			}
			must(s.StoreHardState(proto.HardState{Term: 4, Vote: 1, Commit: 15})) // raft remembers its commit
			must(s.Truncate(0))
			must(s.Recover())
			s.Close()
			s = open(t, dir, config)
			looksEmpty(t, s, proto.HardState{Term: 4, Vote: 1})
			must(s.StoreHardState(proto.HardState{Term: 5, Vote: 3})) // and has started anew here
			must(s.ApplySnapshot(proto.SnapshotMeta{}))
			s.Close()
			s = open(t, dir, config)
			looksEmpty(t, s, proto.HardState{Term: 5, Vote: 3})
			must(s.ApplySnapshot(proto.SnapshotMeta{Index: 18, Term: 5})) // raft knew less than half of the log as committed
			for i := 0; i < 2; i++ {
				if first, _ := s.FirstIndex(); first != 19 {
					t.Errorf("the log begins at %d", first)
				}
				if hard, _ := s.InitialState(); hard != (proto.HardState{Term: 5, Vote: 3, Commit: 18}) {
					t.Errorf("the hard state is %+v", hard)
				}
				s.Close()
				s = open(t, dir, config)
			}
			store(t, s, 19, 25, 5)
			if term, _, err := s.Term(24); term != 5 || err != nil {
				t.Errorf("Term(24) = %d, %v", term, err)
			}
			faults.none(t)
		})
	}
}

// Raft has seen the leader's term and not stored it yet: the log must take the
// snapshot all the same, and no vote of the older term may count in the newer.
func TestSnapshotOfATermThatIsNotStored(t *testing.T) {
	dir := walDir(t)
	s := open(t, dir, nil)
	if err := s.StoreHardState(proto.HardState{Term: 3, Vote: 2}); err != nil {
		t.Fatal(err)
	}
	store(t, s, 1, 5, 4)
	for _, meta := range []proto.SnapshotMeta{{}, {Index: 30, Term: 6}} {
		if err := s.ApplySnapshot(meta); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	if hard, _ := open(t, dir, nil).InitialState(); hard != (proto.HardState{Term: 6, Commit: 30}) {
		t.Errorf("the hard state is %+v", hard)
	}
}

// Entries before the snapshot are those that the state machine may have in it.
func TestEntriesBeforeTheSnapshotAreRefused(t *testing.T) {
	faults := newTold()
	s := open(t, walDir(t), &Config{OnFault: faults.add})
	store(t, s, 1, 21, 1)
	if err := s.ApplySnapshot(proto.SnapshotMeta{}); err != nil {
		t.Fatal(err)
	}
	if err := s.StoreEntries(entry(1, 1, "x")); !errors.Is(err, bulkhead.ErrCompacted) {
		t.Errorf("StoreEntries: %v", err)
	}
	faults.one(t) // it ends raft's group
	if err := s.StoreHardState(proto.HardState{Term: 2, Vote: pendingVote | 1}); !errors.Is(err, bulkhead.ErrInvalidArgument) {
		t.Errorf("a vote that would look like the mark: %v", err)
	}
}

// A snapshot that ends below what is committed here is refused, and the log stays
// hidden: nobody but the owner hears of it, until another has arrived.
func TestRefusedSnapshotIsTold(t *testing.T) {
	faults, healed := newTold(), make(chan struct{}, 1)
	s := open(t, walDir(t), &Config{OnFault: faults.add, OnHealed: func() { healed <- struct{}{} }})
	store(t, s, 1, 21, 1)
	if err := s.StoreHardState(proto.HardState{Term: 1, Commit: 15}); err != nil {
		t.Fatal(err)
	}
	if err := s.ApplySnapshot(proto.SnapshotMeta{}); err != nil {
		t.Fatal(err)
	}
	if err := s.ApplySnapshot(proto.SnapshotMeta{Index: 10, Term: 1}); !errors.Is(err, bulkhead.ErrCommitOutOfRange) {
		t.Errorf("a snapshot that ends below the commit: %v", err)
	}
	if f, _ := faults.one(t); f.State != bulkhead.StateReadOnly || f.Cause != bulkhead.CauseNone || !errors.Is(f.Err, bulkhead.ErrCommitOutOfRange) {
		t.Errorf("told: %+v", f)
	}
	if err := s.ApplySnapshot(proto.SnapshotMeta{Index: 30, Term: 1}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-healed:
	case <-time.After(5 * time.Second):
		t.Error("it is not told that the snapshot has arrived")
	}
	store(t, s, 31, 33, 1)
}

// The state machine of a replica that has just been added may have taken the snapshot
// as well when the process ends: entries from the first on must not come instead of it.
func TestEmptyLogWaitsForTheSnapshot(t *testing.T) {
	dir := walDir(t)
	s := open(t, dir, nil)
	if err := s.ApplySnapshot(proto.SnapshotMeta{}); err != nil {
		t.Fatal(err)
	}
	s.Close()
	s = open(t, dir, nil)
	if !s.SnapshotPending() {
		t.Error("it waits for no snapshot")
	}
	if err := s.StoreEntries(entry(1, 1, "x")); !errors.Is(err, bulkhead.ErrCompacted) {
		t.Errorf("StoreEntries: %v", err)
	}
	s.Close()
	s = open(t, dir, nil)
	if err := s.ApplySnapshot(proto.SnapshotMeta{Index: 30, Term: 2}); err != nil {
		t.Fatal(err)
	}
	store(t, s, 31, 33, 2)
	if last, err := s.LastIndex(); err != nil || last != 32 {
		t.Errorf("the log ends at %d, %v", last, err)
	}
}

// TestTermOfEntriesThatWereStoredFirst: raft gets no term that it could not store.
func TestTermOfEntriesThatWereStoredFirst(t *testing.T) {
	dir := walDir(t)
	s := open(t, dir, nil)
	if err := s.StoreHardState(proto.HardState{Term: 3, Vote: 2}); err != nil {
		t.Fatal(err)
	}
	store(t, s, 1, 5, 6)
	s.Close() // as at a crash before the next hard state
	s = open(t, dir, nil)
	hard, err := s.InitialState()
	if err != nil || hard != (proto.HardState{Term: 6}) {
		t.Errorf("%+v, %v", hard, err)
	}
	hard.Commit = 1
	if err := s.StoreHardState(hard); err != nil {
		t.Error(err)
	}
	s.Close()
	if again, _ := open(t, dir, nil).InitialState(); again != hard {
		t.Errorf("%+v, want %+v", again, hard)
	}
}

// Raft ignores the error of this call: a state machine that went on would be ahead
// of a log that nothing says so of.
func TestSnapshotIsNotTakenWithoutTheMark(t *testing.T) {
	faults := newTold()
	s := open(t, walDir(t), &Config{OnFault: faults.add})
	store(t, s, 1, 21, 1)
	if err := s.Partition().Fence(bulkhead.StateUnavailable, "stands for a disk that takes nothing"); err != nil {
		t.Fatal(err)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("raft is not kept from giving the snapshot to the state machine")
			}
		}()
		_ = s.ApplySnapshot(proto.SnapshotMeta{})
	}()
	faults.one(t)
}

// A data partition of CubeFS stays where it is: its log fits it all along, and what
// is applied is not beyond it.
func TestLogStaysIfTheSnapshotChangesNothing(t *testing.T) {
	dir := walDir(t)
	s := open(t, dir, &Config{SnapshotChangesNothing: true})
	store(t, s, 1, 21, 1)
	if err := s.ApplySnapshot(proto.SnapshotMeta{}); err != nil {
		t.Fatal(err)
	}
	holds(t, s, 20)
	s.Close()
	s = open(t, dir, &Config{AppliedIndex: 20, SnapshotChangesNothing: true})
	holds(t, s, 20)
}
