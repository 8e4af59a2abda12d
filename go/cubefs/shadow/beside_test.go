package shadow

import (
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/bulkhead-wal/bulkhead/go/cubefs"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/proto"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage"
)

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
