package shadow

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
	"github.com/bulkhead-wal/bulkhead/go/cubefs"
	"github.com/bulkhead-wal/bulkhead/go/internal/baddisk"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/logger"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/proto"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage/wal"
)

var engine *bulkhead.Engine

type silent struct{}

func (silent) IsEnableDebug() bool          { return false }
func (silent) IsEnableInfo() bool           { return false }
func (silent) IsEnableWarn() bool           { return false }
func (silent) Debug(string, ...interface{}) {}
func (silent) Info(string, ...interface{})  {}
func (silent) Warn(string, ...interface{})  {}
func (silent) Error(string, ...interface{}) {}

func TestMain(m *testing.M) {
	logger.SetLogger(silent{})
	var err error
	// Faults are to be seen, not healed.
	engine, err = bulkhead.Open(bulkhead.EngineConfig{HealLimit: bulkhead.Never, SpaceWait: bulkhead.Never, Probe: bulkhead.Never})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	code := m.Run()
	if _, partitions := bulkhead.LiveHandles(); partitions != 0 {
		fmt.Printf("FAIL: %d partitions were left open\n", partitions)
		code = 1
	}
	if err := engine.Close(); err != nil {
		fmt.Println("FAIL:", err)
		code = 1
	}
	os.Exit(code)
}

const id = 7

// pair opens CubeFS's log with a shadow.
func pair(t *testing.T, open opener) (s *Storage, root string) {
	t.Helper()
	dir := t.TempDir()
	native, err := wal.NewStorage(filepath.Join(dir, "wal_7"), &wal.Config{FileSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	root = filepath.Join(dir, "shadows")
	s = newStorage(native, Config{Root: root, ID: id, Log: cubefs.Config{Engine: engine, Mode: bulkhead.ModeNone}}, open)
	t.Cleanup(func() { closed(t, s) })
	return s, root
}

// closed closes the log and waits until the shadow is gone.
func closed(t *testing.T, s *Storage) {
	t.Helper()
	s.Close()
	eventually(t, "the shadow is gone", func() bool {
		living.mu.Lock()
		defer living.mu.Unlock()
		return !living.workers[s.work]
	})
	if left, _ := filepath.Glob(filepath.Join(s.work.config.Root, prefix+"*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !condition(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not in 20 s: " + what)
		}
	}
}

// settled waits until nothing waits for the shadow.
func settled(t *testing.T, s *Storage) Report {
	t.Helper()
	eventually(t, "the shadow keeps up", func() bool { return s.Report().WaitingBytes == 0 && s.Report().LagSeconds == 0 })
	return s.Report()
}

func batch(lo, hi, term uint64, size int) (entries []*proto.Entry) {
	for i := lo; i < hi; i++ {
		data := []byte(strings.Repeat(fmt.Sprintf("%d of %d ", i, term), size/7+1))[:size]
		entries = append(entries, &proto.Entry{Index: i, Term: term, Type: proto.EntryType(i % 2), Data: data})
	}
	return entries
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func clean(t *testing.T, s *Storage, root string) Report {
	t.Helper()
	r := settled(t, s)
	if r.Differences != 0 || r.Dropped != 0 || r.Faults != 0 || r.Blemish != "" || Blemish(root, id) != "" {
		t.Fatalf("%+v, marked: %q", r, Blemish(root, id))
	}
	return r
}

// read reads everything there is, in one piece and one by one.
func read(t *testing.T, s *Storage) {
	t.Helper()
	first, _ := s.FirstIndex()
	last, _ := s.LastIndex()
	if last < first {
		return
	}
	for _, limit := range []uint64{0, 100, 1 << 40} {
		_, _, err := s.Entries(first, last+1, limit)
		must(t, err)
	}
	for i := first - 1; i <= last; i++ {
		_, _, err := s.Term(i)
		must(t, err)
	}
}

// TestCleanShadow: whatever raft does to its log, the shadow must follow, and
// agree on every read that it covers.
func TestCleanShadow(t *testing.T) {
	s, root := pair(t, openTarget)
	must(t, s.StoreHardState(proto.HardState{Term: 1, Vote: 1})) // before the first entry
	must(t, s.StoreEntries(batch(1, 40, 1, 100)))
	settled(t, s)
	read(t, s)
	must(t, s.StoreHardState(proto.HardState{Term: 2, Vote: 3, Commit: 20}))
	must(t, s.StoreEntries(batch(30, 60, 2, 100))) // replaces a suffix
	must(t, s.StoreEntries(batch(60, 61, 2, 0)))
	must(t, s.StoreEntries(nil))
	settled(t, s)
	read(t, s)
	must(t, s.Truncate(20))
	must(t, s.Truncate(10)) // again
	if s.Truncate(1000) == nil {
		t.Error("a truncation beyond the log succeeded")
	}
	settled(t, s)
	read(t, s)
	must(t, s.ApplySnapshot(proto.SnapshotMeta{})) // raft does so before a snapshot has arrived
	must(t, s.ApplySnapshot(proto.SnapshotMeta{Index: 500, Term: 4}))
	must(t, s.StoreHardState(proto.HardState{Term: 4, Vote: 3, Commit: 500}))
	must(t, s.StoreEntries(batch(501, 520, 4, 5000)))
	must(t, s.StoreHardState(proto.HardState{Term: 4, Vote: 3, Commit: 510}))
	settled(t, s)
	read(t, s)
	r := clean(t, s, root)
	if r.Compared < 150 || r.Changes < 9 {
		t.Errorf("hardly anything was compared: %+v", r)
	}
}

// TestShadowOfALongLog: the log has a past that the shadow does not know; raft may
// go back behind the shadow's start.
func TestShadowOfALongLog(t *testing.T) {
	dir := t.TempDir()
	open := func() storage.Storage {
		native, err := wal.NewStorage(filepath.Join(dir, "wal_7"), &wal.Config{})
		must(t, err)
		return native
	}
	native := open()
	must(t, native.StoreEntries(batch(1, 101, 3, 64)))
	must(t, native.StoreHardState(proto.HardState{Term: 3, Vote: 2, Commit: 60}))
	native.Close()
	root := filepath.Join(dir, "shadows")
	s := New(open(), Config{Root: root, ID: id, Log: cubefs.Config{Engine: engine}})
	t.Cleanup(func() { closed(t, s) })
	read(t, s) // before the first entry
	must(t, s.StoreEntries(batch(101, 111, 3, 64)))
	must(t, s.StoreHardState(proto.HardState{Term: 3, Vote: 2, Commit: 70})) // below the shadow's start
	settled(t, s)
	read(t, s)
	must(t, s.Truncate(50)) // below it as well
	must(t, s.StoreEntries(batch(80, 90, 4, 64)))
	must(t, s.StoreHardState(proto.HardState{Term: 4, Vote: 2, Commit: 85}))
	settled(t, s)
	read(t, s)
	must(t, s.Truncate(85))
	settled(t, s)
	read(t, s)
	if r := clean(t, s, root); r.Compared == 0 || r.Restarts != 1 {
		t.Errorf("%+v", r)
	}
}

// hindered is a log that can be made to hang, fail, panic or lie.
type hindered struct {
	storage.Storage
	mu    sync.Mutex
	hang  chan struct{}
	fails error
	lie   bool
}

func (h *hindered) StoreEntries(entries []*proto.Entry) error {
	h.mu.Lock()
	hang, fails, lie := h.hang, h.fails, h.lie
	h.mu.Unlock()
	if hang != nil {
		<-hang
	}
	if fails != nil && fails.Error() == "panic" {
		panic("a defect")
	}
	if fails != nil {
		return fails
	}
	if lie {
		entries = append([]*proto.Entry(nil), entries...)
		changed := *entries[0]
		changed.Data = append([]byte("not what was stored"), changed.Data...)[:len(changed.Data)]
		entries[0] = &changed
	}
	return h.Storage.StoreEntries(entries)
}

func hinderedPair(t *testing.T) (s *Storage, root string, set func(func(*hindered))) {
	t.Helper()
	h := &hindered{}
	s, root = pair(t, func(dir string, config cubefs.Config) (storage.Storage, error) {
		log, err := openTarget(dir, config)
		if err != nil {
			return nil, err
		}
		h.mu.Lock()
		h.Storage = log
		h.mu.Unlock()
		return h, nil
	})
	return s, root, func(f func(*hindered)) { h.mu.Lock(); f(h); h.mu.Unlock() }
}

// TestHangingShadow: a shadow whose disk hangs must not hold up a single call, and
// what waits for it must stay bounded.
func TestHangingShadow(t *testing.T) {
	s, root, set := hinderedPair(t)
	must(t, s.StoreEntries(batch(1, 10, 1, 64)))
	settled(t, s)
	hang := make(chan struct{})
	set(func(h *hindered) { h.hang = hang })
	slowest := time.Duration(0)
	next := uint64(10)
	for i := 0; i < 100; i++ { // 100 MiB
		begin := time.Now()
		must(t, s.StoreEntries(batch(next, next+8, 1, 128<<10)))
		next += 8
		must(t, s.StoreHardState(proto.HardState{Term: 1, Vote: 1, Commit: next - 1}))
		_, _, err := s.Entries(next-4, next, 1<<30)
		must(t, err)
		if took := time.Since(begin); took > slowest {
			slowest = took
		}
		if i > 10 {
			must(t, s.Truncate(next-50))
		}
	}
	if slowest > 2*time.Second { // of CubeFS's own writes, on a busy machine
		t.Errorf("a call took %v", slowest)
	}
	r := s.Report()
	if r.WaitingBytes > maxBytes || r.Dropped == 0 || r.LagSeconds == 0 || r.Faults != 0 {
		t.Errorf("%+v", r)
	}
	begin := time.Now()
	if Blemish(root, id) == "" {
		t.Error("a shadow that dropped something counts as clean")
	}
	set(func(h *hindered) { h.hang = nil })
	close(hang)
	settled(t, s)
	before := s.Report()
	must(t, s.StoreEntries(batch(next, next+8, 1, 64)))
	settled(t, s)
	_, _, err := s.Entries(next, next+8, 1<<30)
	must(t, err)
	after := settled(t, s)
	if after.Compared == before.Compared || after.Differences != 0 || after.Dropped != before.Dropped {
		t.Errorf("the shadow does not follow any more after %v: %+v, then %+v", time.Since(begin), before, after)
	}
	if Blemish(root, id) == "" {
		t.Error("it counts as clean again")
	}
}

// TestCloseOfAHangingShadow: closing the log must not wait for its shadow.
func TestCloseOfAHangingShadow(t *testing.T) {
	s, _, set := hinderedPair(t)
	must(t, s.StoreEntries(batch(1, 10, 1, 64)))
	settled(t, s)
	hang := make(chan struct{})
	set(func(h *hindered) { h.hang = hang })
	must(t, s.StoreEntries(batch(10, 20, 1, 64)))
	done := make(chan struct{})
	go func() { s.Close(); close(done) }()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Error("Close waits for the shadow")
	}
	close(hang)
	<-done
}

// TestFailingShadow: errors and panics of the shadow are its own.
func TestFailingShadow(t *testing.T) {
	for _, failure := range []string{"input/output error", "panic"} {
		t.Run(failure, func(t *testing.T) {
			s, root, set := hinderedPair(t)
			must(t, s.StoreEntries(batch(1, 10, 1, 64)))
			settled(t, s)
			set(func(h *hindered) { h.fails = errors.New(failure) })
			for i := uint64(10); i < 40; i++ {
				must(t, s.StoreEntries(batch(i, i+1, 1, 64)))
				read(t, s)
			}
			r := settled(t, s)
			if r.Faults != 1 || r.Dropped == 0 || r.Differences != 0 || Blemish(root, id) == "" {
				t.Errorf("%+v", r)
			}
			set(func(h *hindered) { h.fails = nil })
			time.Sleep(firstRest)
			must(t, s.StoreEntries(batch(40, 50, 1, 64)))
			settled(t, s)
			read(t, s)
			after := settled(t, s)
			if after.Compared <= r.Compared || after.Restarts == 0 || after.Differences != 0 {
				t.Errorf("the shadow did not start anew: %+v", after)
			}
		})
	}
}

// TestShadowOnABadDisk is the same with a disk that really fails.
func TestShadowOnABadDisk(t *testing.T) {
	s, root := pair(t, openTarget)
	must(t, s.StoreEntries(batch(1, 10, 1, 64)))
	settled(t, s)
	disk, err := baddisk.Break(root)
	must(t, err)
	defer disk.End()
	for i := uint64(10); i < 40; i++ {
		must(t, s.StoreEntries(batch(i, i+1, 1, 64)))
	}
	read(t, s)
	if r := settled(t, s); r.Faults == 0 || r.Differences != 0 || Blemish(root, id) == "" {
		t.Errorf("%+v", r)
	}
	closed(t, s)
}

// TestDifferingShadow: a wrong answer must be found, and nothing else made of it.
func TestDifferingShadow(t *testing.T) {
	s, root, set := hinderedPair(t)
	set(func(h *hindered) { h.lie = true })
	must(t, s.StoreEntries(batch(1, 10, 1, 64)))
	settled(t, s)
	entries, _, err := s.Entries(1, 10, 1<<30)
	must(t, err)
	if string(entries[0].Data) != string(batch(1, 2, 1, 64)[0].Data) {
		t.Error("raft got the shadow's answer")
	}
	if r := settled(t, s); r.Differences != 1 || r.Faults != 0 || !strings.Contains(Blemish(root, id), "difference") {
		t.Errorf("%+v, %q", r, Blemish(root, id))
	}
}

// TestMarkStays: a blemish must outlive the process, until somebody clears it.
// The root may be missing yet: the shadow makes it when it begins.
func TestMarkStays(t *testing.T) {
	root := filepath.Join(t.TempDir(), "shadows")
	blemish(root, id, "a reason")
	eventually(t, "the mark is written", func() bool { b, _ := os.ReadFile(markPath(root, id)); return len(b) > 0 })
	blemishes.mu.Lock()
	blemishes.of = nil // another process
	blemishes.mu.Unlock()
	if why := Blemish(root, id); !strings.Contains(why, "a reason") {
		t.Errorf("%q", why)
	}
	if Blemish(root, id+1) != "" {
		t.Error("another log is marked")
	}
	must(t, Clear(root, id))
	if Blemish(root, id) != "" {
		t.Error("it is still marked")
	}
}

// TestReadsBesideWrites: raft's sender goroutines read while its loop writes: no
// such read may be taken for a difference. Run with -race.
func TestReadsBesideWrites(t *testing.T) {
	s, root := pair(t, func(dir string, config cubefs.Config) (storage.Storage, error) { return openTarget(dir, config) })
	// CubeFS's WAL is not made for it: a lock in its place lets only whole calls interleave.
	s.native = &locked{Storage: s.native}
	must(t, s.StoreEntries(batch(1, 50, 1, 64)))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i := 0; i < 3; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for {
				select {
				case <-stop:
					return
				default:
				}
				first, _ := s.FirstIndex()
				last, _ := s.LastIndex()
				_, _, _ = s.Entries(first, last+1, 1<<20) // what it says beside a write does not matter
				_, _, _ = s.Term(last)
			}
		}()
	}
	for i := uint64(50); i < 800; i++ {
		must(t, s.StoreEntries(batch(i-i%3, i+1, i, 64))) // also replaces
		if i%50 == 0 {
			must(t, s.Truncate(i-30))
		}
	}
	close(stop)
	wg.Wait()
	if r := settled(t, s); r.Differences != 0 || r.Faults != 0 {
		t.Errorf("%+v: %s", r, r.Blemish)
	}
	_ = root
}

type locked struct {
	mu sync.Mutex
	storage.Storage
}

func (l *locked) StoreEntries(e []*proto.Entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Storage.StoreEntries(e)
}

func (l *locked) Truncate(i uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Storage.Truncate(i)
}

func (l *locked) FirstIndex() (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Storage.FirstIndex()
}

func (l *locked) LastIndex() (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Storage.LastIndex()
}

func (l *locked) Term(i uint64) (uint64, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Storage.Term(i)
}

func (l *locked) Entries(lo, hi, max uint64) ([]*proto.Entry, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Storage.Entries(lo, hi, max)
}

// TestChangeAfterTheEnd: nobody takes it out again, and its bytes would count
// against all shadows of the process for good.
func TestChangeAfterTheEnd(t *testing.T) {
	s, root := pair(t, openTarget)
	closed(t, s)
	before := atomic.LoadInt64(&processBytes)
	if s.work.add(change{kind: hardState, bytes: 100}) {
		t.Error("it is taken in")
	}
	if after := atomic.LoadInt64(&processBytes); after != before {
		t.Errorf("%d bytes count that nobody takes out again", after-before)
	}
	if s.Report().Dropped != 1 {
		t.Errorf("%+v: it is not said", s.Report())
	}
	eventually(t, "the shadow is marked", func() bool {
		_, err := os.Stat(markPath(root, id))
		return err == nil
	})
}
