package shadow

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bulkhead-wal/bulkhead/go/cubefs"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/proto"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage"
)

// opener opens the shadow's log.
type opener func(dir string, config cubefs.Config) (storage.Storage, error)

func openTarget(dir string, config cubefs.Config) (storage.Storage, error) {
	s, err := cubefs.NewStorage(dir, &config)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// After a fault the shadow stays away from the disk for a while.
const (
	firstRest   = time.Second
	longestRest = time.Minute
)

// processBytes is what waits for all shadows of the process.
var processBytes int64 // atomic

// openings numbers the directories of this process, which token tells from those
// that an earlier one left behind.
var (
	openings uint64 // atomic
	token    = newToken()
	tidied   sync.Map // roots
)

func newToken() string {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return strconv.FormatInt(time.Now().UnixNano(), 16)
	}
	return hex.EncodeToString(b[:])
}

const prefix = "shadow_"

// tidy removes what earlier processes left under a root.
func tidy(root string) {
	if _, done := tidied.LoadOrStore(root, true); done {
		return
	}
	left, _ := filepath.Glob(filepath.Join(root, prefix+"*")) // the pattern is sound
	for _, dir := range left {
		if !strings.HasPrefix(filepath.Base(dir), prefix+token) {
			_ = os.RemoveAll(dir) // it takes space and does no harm
		}
	}
}

// worker keeps one shadow.
type worker struct {
	config   Config
	open     opener
	dir      string
	counters Counters

	mu      sync.Mutex
	wake    *sync.Cond
	queue   []change
	bytes   int
	ended   bool
	broken  bool      // the next entries must start it anew
	resting time.Time // no change is taken before
	rest    time.Duration

	// Only the worker's goroutine uses what follows.
	log     storage.Storage // nil: broken, or not begun
	version uint64          // of CubeFS's log that it is at
	base    uint64
	commit  uint64
}

func newWorker(config Config, open opener) *worker {
	name := fmt.Sprintf("%s%s.%d.%d", prefix, token, atomic.AddUint64(&openings, 1), config.ID)
	w := &worker{config: config, open: open, dir: filepath.Join(config.Root, name), rest: firstRest}
	w.config.Log.PartitionID = config.ID
	w.wake = sync.NewCond(&w.mu)
	register(w)
	go w.run()
	return w
}

// run works until the log is closed.
func (w *worker) run() {
	tidy(w.config.Root)
	for {
		w.mu.Lock()
		for len(w.queue) == 0 && !w.ended {
			w.wake.Wait()
		}
		if len(w.queue) == 0 {
			w.mu.Unlock()
			break
		}
		c := w.queue[0]
		w.mu.Unlock()
		w.do(c) // it counts as waiting until it is done
		w.mu.Lock()
		w.queue[0] = change{}
		w.queue = w.queue[1:]
		w.bytes -= c.bytes
		atomic.AddInt64(&processBytes, -int64(c.bytes))
		w.mu.Unlock()
	}
	w.discard()
	unregister(w)
}

// do makes one change. A panic in here breaks the shadow, and nothing else.
func (w *worker) do(c change) {
	defer func() {
		if r := recover(); r != nil {
			w.failed(fmt.Errorf("panic: %v", r))
		}
	}()
	if c.kind == readEntries || c.kind == readTerm {
		w.compare(c)
		return
	}
	if c.fresh != nil && (c.kind == store || w.log == nil) {
		if err := w.startAnew(c.fresh); err != nil {
			w.failed(err)
			return
		}
	}
	if w.log == nil { // broken, until entries start it anew
		if c.kind != nothing {
			w.drop(c)
		}
		return
	}
	if err := w.make(c); err != nil {
		w.failed(err)
		return
	}
	w.version = c.version
	if c.kind != nothing {
		w.counters.add(&w.counters.Changes)
		w.compareBounds(c)
	}
}

func (w *worker) make(c change) error {
	switch c.kind {
	case store:
		entries := make([]*proto.Entry, len(c.entries))
		for i := range c.entries {
			entries[i] = &c.entries[i]
		}
		if err := w.log.StoreEntries(entries); err != nil {
			return err
		}
		// Of a log that starts with a new term, raft stores that next.
		if c.fresh != nil && c.hard.Term >= c.entries[len(c.entries)-1].Term {
			return w.storeHardState(c.hard)
		}
		return nil
	case hardState:
		return w.storeHardState(c.hard)
	case truncate:
		return w.log.Truncate(c.index)
	case snapshot:
		w.base, w.commit = c.fresh.index, c.fresh.index
		return w.log.ApplySnapshot(proto.SnapshotMeta{Index: c.fresh.index, Term: c.fresh.term})
	}
	return nil
}

// storeHardState stores term, vote and commit. The commit of the shadow's own
// start is a floor: entries before it are taken as committed.
func (w *worker) storeHardState(state proto.HardState) error {
	if state.Commit < w.commit {
		state.Commit = w.commit
	}
	if err := w.log.StoreHardState(state); err != nil {
		return err
	}
	w.commit = state.Commit
	got, err := w.log.InitialState()
	if err == nil && (got.Term != state.Term || got.Vote != state.Vote || got.Commit < state.Commit) {
		w.differs("the hard state is %+v, CubeFS's %+v", got, state)
	}
	return err
}

// startAnew opens an empty log that begins behind an entry.
func (w *worker) startAnew(o *origin) error {
	if w.log != nil || w.counters.load().Faults > 0 {
		w.counters.add(&w.counters.Restarts)
	}
	w.discard()
	if err := os.MkdirAll(w.config.Root, 0o700); err != nil {
		return err
	}
	log, err := w.open(w.dir, w.config.Log)
	if err != nil {
		return err
	}
	w.log, w.base, w.commit = log, o.index, o.index
	if o.index == 0 {
		return nil
	}
	return log.ApplySnapshot(proto.SnapshotMeta{Index: o.index, Term: o.term})
}

// discard closes and removes the shadow's log.
func (w *worker) discard() {
	if w.log != nil {
		w.log.Close()
		w.log = nil
	}
	if err := os.RemoveAll(w.dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		w.blame("the shadow's directory could not be removed: " + err.Error())
	}
}

// failed counts a fault; the shadow rests, and starts anew later.
func (w *worker) failed(err error) {
	w.counters.add(&w.counters.Faults)
	w.blame("the shadow's log failed: " + err.Error())
	if w.log != nil {
		w.log.Close()
		w.log = nil
	}
	w.mu.Lock()
	w.broken = true
	w.resting = time.Now().Add(w.rest)
	if w.rest *= 2; w.rest > longestRest {
		w.rest = longestRest
	}
	w.mu.Unlock()
}

func (w *worker) differs(format string, values ...interface{}) {
	w.counters.add(&w.counters.Differences)
	w.blame("a difference: " + fmt.Sprintf(format, values...))
}
