package shadow

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/bulkhead-wal/bulkhead/go/cubefs"
	"github.com/bulkhead-wal/bulkhead/go/internal/baddisk"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/proto"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage"
)

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
