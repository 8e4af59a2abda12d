package cubefs

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
	"github.com/bulkhead-wal/bulkhead/go/internal/baddisk"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/proto"
)

// TestMain fails the run when a test left a log open.
func TestMain(m *testing.M) {
	code := m.Run()
	if err := CloseSharedEngine(); err != nil {
		fmt.Printf("FAIL: closing the shared engine: %v\n", err)
		code = 1
	}
	if engines, partitions := bulkhead.LiveHandles(); engines != 0 || partitions != 0 {
		fmt.Printf("FAIL: %d engines and %d partitions were left open\n", engines, partitions)
		code = 1
	}
	os.Exit(code)
}

var allModes = []bulkhead.Mode{bulkhead.ModeNone, bulkhead.ModeSync, bulkhead.ModeInterval}

func walDir(t testing.TB) string { return filepath.Join(t.TempDir(), "wal_7") }

func open(t testing.TB, dir string, config *Config) *Storage {
	t.Helper()
	s, err := NewStorage(dir, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func entry(index, term uint64, data string) []*proto.Entry {
	return []*proto.Entry{{Index: index, Term: term, Data: []byte(data)}}
}

func store(t testing.TB, s *Storage, lo, hi, term uint64) {
	t.Helper()
	for i := lo; i < hi; i++ {
		if err := s.StoreEntries(entry(i, term, fmt.Sprintf("payload %d of term %d", i, term))); err != nil {
			t.Fatal(err)
		}
	}
}

// told collects faults and when they were told.
type told struct {
	mu   sync.Mutex
	list []Fault
	when []time.Time
	wake chan struct{}
}

func newTold() *told { return &told{wake: make(chan struct{}, 100)} }

func (l *told) add(f Fault) {
	l.mu.Lock()
	l.list, l.when = append(l.list, f), append(l.when, time.Now())
	l.mu.Unlock()
	l.wake <- struct{}{}
}

// one waits for a fault, and makes sure that no other follows.
func (l *told) one(t testing.TB) (Fault, time.Time) { t.Helper(); return l.count(t, 1) }

// count is one for the fault of this number; it expects to be asked for each.
func (l *told) count(t testing.TB, number int) (Fault, time.Time) {
	t.Helper()
	select {
	case <-l.wake:
	case <-time.After(10 * time.Second):
		t.Fatal("no fault was told")
	}
	time.Sleep(30 * time.Millisecond)
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.list) != number {
		t.Fatalf("%d faults were told, want %d: %+v", len(l.list), number, l.list)
	}
	return l.list[number-1], l.when[number-1]
}

func (l *told) none(t testing.TB) {
	t.Helper()
	time.Sleep(30 * time.Millisecond)
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.list) != 0 {
		t.Errorf("faults were told: %+v", l.list)
	}
}

// neverHeals opens an engine for tests of what a fault does as long as nothing
// heals it.
func neverHeals(t testing.TB) *bulkhead.Engine {
	return engineWith(t, bulkhead.EngineConfig{HealLimit: bulkhead.Never, IdleCheck: bulkhead.Never, SpaceWait: bulkhead.Never, Probe: bulkhead.Never})
}

func engineWith(t testing.TB, config bulkhead.EngineConfig) *bulkhead.Engine {
	t.Helper()
	engine, err := bulkhead.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	})
	return engine
}

// breakDisk makes every open file of a log fail with EIO. Files that are made
// later work: a library that heals gets over it.
func breakDisk(t testing.TB, s *Storage) {
	t.Helper()
	if err := s.Partition().Sync(); err != nil { // mode interval opens its file when it flushes
		t.Fatal(err)
	}
	disk, err := baddisk.Break(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		disk.End()
	})
}
