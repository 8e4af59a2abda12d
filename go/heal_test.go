package bulkhead

import (
	"errors"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// resumeLimit is how soon a partition must be back when its cause is gone.
const resumeLimit = time.Second

// A disk that fails once costs the caller time, and the operator hears of it.
func TestTransientFaultIsHealed(t *testing.T) {
	for _, mode := range allModes {
		t.Run(mode.String(), func(t *testing.T) {
			e := openEngine(t, EngineConfig{Interval: 10 * time.Millisecond})
			config := PartitionConfig{Path: filepath.Join(t.TempDir(), "wal_7"), ID: 7, Mode: mode}
			p := reopenPartition(t, e, config)
			mustAppend(t, p, makeEntries(1, 4, 1, 10))
			sub := e.Subscribe()
			defer sub.Close()
			breakDisk(t, p)
			mustAppend(t, p, makeEntries(4, 6, 1, 10))
			if err := p.Sync(); err != nil {
				t.Fatalf("sync: %v", err)
			}
			told := nextEvent(t, sub)
			if told.Partition != p || told.Cause != CauseIOError || told.Errno != syscall.EIO {
				t.Errorf("the fault: %+v", told)
			}
			if mode != ModeNone && (told.From != StateReadWrite || told.To != StateReadWrite) {
				t.Errorf("the partition never stopped, and the event says %v to %v", told.From, told.To)
			}
			healed := nextEvent(t, sub)
			for healed.Cause != CauseNone { // a spare that was just being made may have failed, too
				healed = nextEvent(t, sub)
			}
			if healed.To != StateReadWrite || healed.Op != OpRecover || healed.Errno != 0 {
				t.Errorf("healed: %+v", healed)
			}
			if status, err := p.Status(); err != nil || status.State != StateReadWrite || status.Heals == 0 || status.Errors == 0 {
				t.Errorf("status %+v, %v", status, err)
			}
			mustAppend(t, p, makeEntries(6, 9, 1, 10))
			mustHold(t, p, makeEntries(1, 9, 1, 10))
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
			mustHold(t, reopenPartition(t, e, config), makeEntries(1, 9, 1, 10))
		})
	}
}

// Without a second chance inside the call the partition latches, and is back by
// itself when the fault has passed.
func TestPartitionComesBackByItself(t *testing.T) {
	for _, mode := range allModes {
		t.Run(mode.String(), func(t *testing.T) {
			e := openEngine(t, EngineConfig{HealLimit: Never, IdleCheck: Never})
			p := openPartition(t, e, mode)
			mustAppend(t, p, makeEntries(1, 4, 1, 10))
			sub := e.Subscribe()
			defer sub.Close()
			breakDisk(t, p)
			err := p.Append(makeEntries(4, 5, 1, 10))
			if err == nil {
				err = p.Sync() // mode interval
			}
			if !errors.Is(err, syscall.EIO) {
				t.Fatalf("a write to a failed disk: %v", err)
			}
			checkResumes(t, sub, p, StateUnavailable, CauseIOError, resumeLimit)
			_, last, err := p.Bounds()
			if err != nil || (mode == ModeInterval) != (last == 4) {
				t.Errorf("the log ends at %d, %v", last, err)
			}
			mustAppend(t, p, makeEntries(last+1, 9, 1, 10))
			mustHold(t, p, makeEntries(1, 9, 1, 10))
		})
	}
}

// checkResumes expects one fault and, within limit of it, ReadWrite.
func checkResumes(t *testing.T, sub *Subscription, p *Partition, state State, cause Cause, limit time.Duration) {
	t.Helper()
	fault := nextChange(t, sub)
	if fault.Partition != p || fault.To != state || fault.Cause != cause {
		t.Errorf("the fault: %+v", fault)
	}
	back := nextEvent(t, sub)
	if back.From != state || back.To != StateReadWrite || back.Op != OpRecover {
		t.Errorf("the event after the fault: %+v", back)
	}
	if took := back.Time.Sub(fault.Time); took > limit {
		t.Errorf("back after %v", took)
	}
	if status, err := p.Status(); err != nil || status.State != StateReadWrite || status.Cause != CauseNone || p.LastFault() != nil {
		t.Errorf("status %+v, %v, fault %v", status, err, p.LastFault())
	}
}

// limitFileSize makes every write beyond a file's first bytes fail with EFBIG,
// which a full disk and a quota share their cause with.
func limitFileSize(t *testing.T, bytes uint64) (lift func()) {
	t.Helper()
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	signal.Ignore(syscall.SIGXFSZ)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: bytes, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	lift = func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(func() { lift(); signal.Reset(syscall.SIGXFSZ) })
	return lift
}

// A full disk: reads and votes go on, and so do appends when there is space
// again, with no call by anybody. Not in mode none: its segments are made small,
// so that a limit on the size of a file does not keep it from making one.
func TestReadOnlyResumes(t *testing.T) {
	for _, mode := range []Mode{ModeSync, ModeInterval} {
		t.Run(mode.String(), func(t *testing.T) {
			e := openEngine(t, EngineConfig{SpaceWait: 50 * time.Millisecond, SegmentMinBytes: 64 << 10})
			p := openPartition(t, e, mode)
			mustAppend(t, p, makeEntries(1, 4, 1, 10))
			if err := p.Sync(); err != nil {
				t.Fatal(err)
			}
			sub := e.Subscribe()
			defer sub.Close()
			lift := limitFileSize(t, 32<<10)
			large := makeEntries(4, 5, 1, 100<<10) // no file that is there has room for it
			err := p.Append(large)
			if err == nil {
				err = p.Sync() // mode interval
			}
			if !errors.Is(err, ErrNoSpace) {
				t.Fatalf("an append without space: %v", err)
			}
			if err := p.SetHardState(HardState{Term: 2, Vote: 3}); err != nil {
				t.Errorf("a vote without space: %v", err)
			}
			mustHold(t, p, makeEntries(1, 4, 1, 10))
			if status, err := p.Status(); err != nil || status.State != StateReadOnly {
				t.Fatalf("status %+v, %v", status, err)
			}
			lifted := time.Now()
			lift()
			event := nextEvent(t, sub)
			for event.To != StateReadWrite || event.From != StateReadOnly {
				event = nextEvent(t, sub) // that there is no space
			}
			if took := event.Time.Sub(lifted); took > resumeLimit {
				t.Errorf("ReadWrite %v after there was space", took)
			}
			_, last, err := p.Bounds()
			if err != nil {
				t.Fatal(err)
			}
			if last == 3 {
				mustAppend(t, p, large)
			}
			mustHold(t, p, large)
		})
	}
}
