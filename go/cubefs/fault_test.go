package cubefs

import (
	"errors"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/proto"
)

// tellLimit is how soon an owner must hear of a fault.
const tellLimit = 10 * time.Millisecond

// raft closes its storage at the first error and tells nobody: OnFault is all
// the owner hears.
func TestFaultIsTold(t *testing.T) {
	for _, mode := range allModes {
		for _, closed := range []bool{false, true} {
			name := mode.String()
			if closed {
				name += ", closed by raft"
			}
			t.Run(name, func(t *testing.T) {
				faults, engine := newTold(), neverHeals(t)
				s := open(t, walDir(t), &Config{Engine: engine, Mode: mode, OnFault: faults.add})
				healthy := open(t, walDir(t), &Config{Engine: engine, Mode: mode, OnFault: faults.add})
				store(t, s, 1, 4, 1)
				store(t, healthy, 1, 4, 1)
				breakDisk(t, s)
				err := s.StoreEntries(entry(4, 1, "x"))
				failed := time.Now()
				if mode != bulkhead.ModeInterval && !errors.Is(err, syscall.EIO) {
					t.Fatalf("StoreEntries on a failed disk: %v", err)
				}
				if mode == bulkhead.ModeInterval {
					failed = failed.Add(100 * time.Millisecond) // when the flush is due
				} else if closed {
					s.Close()
				}
				f, when := faults.one(t)
				if took := when.Sub(failed); took > tellLimit {
					t.Errorf("told after %v", took)
				}
				checkDiskFault(t, f, s)
				store(t, healthy, 4, 8, 1)
			})
		}
	}
}

func checkDiskFault(t *testing.T, f Fault, s *Storage) {
	t.Helper()
	if f.Partition != 7 || f.Dir != s.dir || f.State != bulkhead.StateUnavailable || f.Cause != bulkhead.CauseIOError ||
		f.Errno != syscall.EIO || f.Op == bulkhead.OpNone || f.Time.IsZero() {
		t.Errorf("%+v", f)
	}
	if n := strings.Count(f.Err.Error(), syscall.EIO.Error()); n != 1 {
		t.Errorf("the errno's text stands %d times in: %v", n, f.Err)
	}
}

// A fault in the background, and raft closes before its event has arrived: Close
// is the last chance to tell it.
func TestCloseTellsWhatWasNot(t *testing.T) {
	faults := newTold()
	s := open(t, walDir(t), &Config{Engine: neverHeals(t), OnFault: faults.add})
	store(t, s, 1, 4, 1)
	breakDisk(t, s)
	s.watcher.remove(s) // the event comes too late
	if err := s.Partition().Append([]bulkhead.Entry{{Index: 4, Term: 1}}); !errors.Is(err, syscall.EIO) {
		t.Fatalf("append on a failed disk: %v", err)
	}
	faults.none(t)
	s.Close()
	f, _ := faults.one(t)
	checkDiskFault(t, f, s)
}

// A probe that is at work on a faulted log keeps its directory after the close, which
// says so. The fault was told: that is not another.
func TestBusyCloseOfAToldFaultIsNoFault(t *testing.T) {
	faults, busy := newTold(), &bulkhead.Error{Code: bulkhead.ErrBusy}
	s := open(t, walDir(t), &Config{Engine: neverHeals(t), OnFault: faults.add})
	store(t, s, 1, 4, 1)
	breakDisk(t, s)
	if err := s.StoreEntries(entry(4, 1, "x")); err == nil {
		t.Fatal("a write to a failed disk succeeded")
	}
	s.tellClose(busy) // the hang itself needs a device: tests/sim has it
	faults.one(t)
	sound := newTold()
	s = open(t, walDir(t), &Config{Engine: neverHeals(t), OnFault: sound.add})
	s.tellClose(busy)
	sound.one(t)
}

// Heartbeats go on until Close returns: it must not wait for the disk.
func TestCloseOfAFaultedStorage(t *testing.T) {
	for _, mode := range allModes {
		t.Run(mode.String(), func(t *testing.T) {
			s := open(t, walDir(t), &Config{Engine: neverHeals(t), Mode: mode})
			store(t, s, 1, 4, 1)
			breakDisk(t, s)
			if err := s.StoreEntries(entry(4, 1, "x")); err == nil {
				err = s.Partition().Sync() // mode interval
				if !errors.Is(err, syscall.EIO) {
					t.Fatalf("a write to a failed disk: %v", err)
				}
			}
			if err := s.StoreHardState(proto.HardState{Term: 2, Vote: 1}); !errors.Is(err, syscall.EIO) {
				t.Fatalf("a vote on a failed disk: %v", err)
			}
			begin := time.Now()
			var wg sync.WaitGroup
			for i := 0; i < 4; i++ {
				wg.Add(1)
				go func() {
					defer wg.Done()
					s.Close()
				}()
			}
			wg.Wait()
			if took := time.Since(begin); took > 100*time.Millisecond {
				t.Errorf("Close took %v", took)
			}
			if last, err := s.LastIndex(); err != nil || last < 3 {
				t.Errorf("LastIndex after Close: %d, %v", last, err)
			}
		})
	}
}

// An owner that blocks in OnFault must not hold up the log or other owners.
func TestOnFaultMayBlock(t *testing.T) {
	release := make(chan struct{})
	entered := make(chan struct{}, 1)
	engine := neverHeals(t)
	blocked := open(t, walDir(t), &Config{Engine: engine, OnFault: func(Fault) { entered <- struct{}{}; <-release }})
	defer close(release)
	faults := newTold()
	other := open(t, walDir(t), &Config{Engine: engine, OnFault: faults.add})
	for _, s := range []*Storage{blocked, other} {
		store(t, s, 1, 3, 1)
		breakDisk(t, s)
		if err := s.StoreEntries(entry(3, 1, "x")); err == nil {
			t.Fatal("no error")
		}
		s.Close()
	}
	<-entered
	faults.one(t)
}

// What raft cannot go on after ends its group too, without any fault of the disk:
// the owner hears of it, and no text makes CubeFS blame the disk.
func TestImpossibleRequestIsTold(t *testing.T) {
	faults := newTold()
	s := open(t, walDir(t), &Config{OnFault: faults.add})
	store(t, s, 1, 4, 1)
	if err := s.StoreEntries(entry(9, 1, "x")); !errors.Is(err, bulkhead.ErrGap) {
		t.Fatalf("a gap: %v", err)
	}
	f, _ := faults.one(t)
	if f.State != bulkhead.StateReadWrite || f.Cause != bulkhead.CauseNone || f.Errno != 0 || !errors.Is(f.Err, bulkhead.ErrGap) {
		t.Errorf("%+v", f)
	}
	for _, errno := range []syscall.Errno{syscall.EIO, syscall.EROFS, syscall.EACCES} {
		if strings.Contains(f.Err.Error(), errno.Error()) {
			t.Errorf("CubeFS would blame the disk for: %v", f.Err)
		}
	}
}

// Reads that miss do not end anything and are nobody's fault.
func TestMissesAreNotTold(t *testing.T) {
	faults := newTold()
	s := open(t, walDir(t), &Config{OnFault: faults.add})
	store(t, s, 1, 11, 1)
	if err := s.Truncate(5); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Term(11); err == nil {
		t.Error("Term(11) of a log that ends at 10")
	}
	if _, _, err := s.Entries(11, 12, 1); err == nil {
		t.Error("Entries(11, 12) of a log that ends at 10")
	}
	if err := s.Truncate(11); err == nil {
		t.Error("Truncate(11) of a log that ends at 10")
	}
	if _, compact, err := s.Entries(5, 6, 1); !compact || err != nil {
		t.Errorf("Entries(5, 6): %v, %v", compact, err)
	}
	s.Close()
	if err := s.StoreEntries(entry(11, 1, "x")); !errors.Is(err, bulkhead.ErrClosed) {
		t.Errorf("StoreEntries after Close: %v", err)
	}
	faults.none(t)
}

// raft's apply and sender goroutines read while its loop writes. Run with -race.
func TestConcurrentReads(t *testing.T) {
	s := open(t, walDir(t), &Config{Mode: bulkhead.ModeNone})
	store(t, s, 1, 2, 1)
	done := make(chan struct{})
	var wg sync.WaitGroup
	for i := 0; i < 3; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for {
				select {
				case <-done:
					return
				default:
				}
				first, _ := s.FirstIndex()
				last, _ := s.LastIndex()
				got, compact, err := s.Entries(first, last+1, 1<<16)
				if err != nil && !errors.Is(err, bulkhead.ErrOutOfRange) {
					t.Errorf("Entries(%d, %d): %v, %v", first, last+1, compact, err)
					return
				}
				if len(got) > 0 && got[0].Index != first {
					t.Errorf("Entries(%d, ...) starts at %d", first, got[0].Index)
				}
			}
		}()
	}
	for i := uint64(2); i < 1500; i++ {
		if err := s.StoreEntries(entry(i, 1, strings.Repeat("x", int(i%700)))); err != nil {
			t.Fatal(err)
		}
		if i%100 == 0 {
			if err := s.Truncate(i - 50); err != nil {
				t.Fatal(err)
			}
		}
	}
	close(done)
	wg.Wait()
}
