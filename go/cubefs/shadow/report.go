package shadow

import (
	"sort"
	"sync"
	"sync/atomic"
	"time"
)

// Counters of one shadow, or of all of a process.
type Counters struct {
	Changes     uint64 `json:"changes"`      // made
	Compared    uint64 `json:"compared"`     // reads that were compared
	NotCompared uint64 `json:"not_compared"` // reads during a change, of entries before the shadow's start, or that found no room
	Differences uint64 `json:"differences"`
	Dropped     uint64 `json:"dropped"` // changes that found no room, or came while the shadow was broken
	Faults      uint64 `json:"faults"`  // errors of the shadow's log
	Restarts    uint64 `json:"restarts"`
}

func (c *Counters) add(counter *uint64) {
	atomic.AddUint64(counter, 1)
}

func (c *Counters) load() Counters {
	return Counters{
		Changes: atomic.LoadUint64(&c.Changes), Compared: atomic.LoadUint64(&c.Compared), NotCompared: atomic.LoadUint64(&c.NotCompared),
		Differences: atomic.LoadUint64(&c.Differences), Dropped: atomic.LoadUint64(&c.Dropped), Faults: atomic.LoadUint64(&c.Faults),
		Restarts: atomic.LoadUint64(&c.Restarts),
	}
}

func (c *Counters) sum(o Counters) {
	c.Changes += o.Changes
	c.Compared += o.Compared
	c.NotCompared += o.NotCompared
	c.Differences += o.Differences
	c.Dropped += o.Dropped
	c.Faults += o.Faults
	c.Restarts += o.Restarts
}

// Report is how a shadow does.
type Report struct {
	ID uint64 `json:"id"`
	Counters
	WaitingBytes int     `json:"waiting_bytes"`
	LagSeconds   float64 `json:"lag_seconds"`       // age of the oldest change that waits
	Blemish      string  `json:"blemish,omitempty"` // why it is not clean: the first difference, drop or fault of this process
}

// living are the shadows of this process, and what those counted that are gone.
var living struct {
	mu      sync.Mutex
	workers map[*worker]bool
	gone    Counters
}

func register(w *worker) {
	living.mu.Lock()
	if living.workers == nil {
		living.workers = make(map[*worker]bool)
	}
	living.workers[w] = true
	living.mu.Unlock()
}

func unregister(w *worker) {
	living.mu.Lock()
	delete(living.workers, w)
	living.gone.sum(w.counters.load())
	living.mu.Unlock()
}

// Finished waits until the shadow of a log that was closed has worked off what it had
// to compare, for a while at most; false if it has not.
func Finished(root string, id uint64, within time.Duration) bool {
	for deadline := time.Now().Add(within); ; time.Sleep(5 * time.Millisecond) {
		if !lives(root, id) {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
	}
}

func lives(root string, id uint64) bool {
	living.mu.Lock()
	defer living.mu.Unlock()
	for w := range living.workers {
		if w.config.Root == root && w.config.ID == id {
			return true
		}
	}
	return false
}

// Reports returns how all shadows do, ordered by id, and what this process has
// counted in all.
func Reports() (reports []Report, totals Counters) {
	living.mu.Lock()
	totals = living.gone
	now := time.Now()
	for w := range living.workers {
		reports = append(reports, w.report(now))
	}
	living.mu.Unlock()
	for _, r := range reports {
		totals.sum(r.Counters)
	}
	sort.Slice(reports, func(i, j int) bool { return reports[i].ID < reports[j].ID })
	return reports, totals
}
