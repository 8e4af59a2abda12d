package shadow

import (
	"sync/atomic"
	"time"
)

// add takes a change in; false if it was dropped: also one that comes after the
// log was closed, which nobody would take out again.
func (w *worker) add(c change) bool {
	now := time.Now()
	c.since = now.UnixNano()
	w.mu.Lock()
	room := !w.ended && now.After(w.resting) && len(w.queue) < maxChanges && w.bytes+c.bytes <= maxBytes &&
		atomic.LoadInt64(&processBytes)+int64(c.bytes) <= maxProcessBytes
	if room {
		w.push(c)
	}
	w.mu.Unlock()
	if !room {
		w.drop(c)
	}
	return room
}

// push needs the lock.
func (w *worker) push(c change) {
	w.queue = append(w.queue, c)
	w.bytes += c.bytes
	atomic.AddInt64(&processBytes, int64(c.bytes))
	w.wake.Signal()
}

func (w *worker) drop(c change) {
	w.counters.add(&w.counters.Dropped)
	w.blame("a change was dropped: the shadow does not keep up, or its log has failed")
}

// addRead takes a read in if there is plenty of room: changes come first.
func (w *worker) addRead(c change) {
	c.since = time.Now().UnixNano()
	w.mu.Lock()
	room := !w.ended && len(w.queue) < maxChanges/2 && w.bytes+c.bytes <= maxBytes/2 &&
		atomic.LoadInt64(&processBytes)+int64(c.bytes) <= maxProcessBytes/2
	if room {
		w.push(c)
	}
	w.mu.Unlock()
	if !room {
		w.counters.add(&w.counters.NotCompared)
	}
}

// takeBroken tells once that the shadow has to be started anew.
func (w *worker) takeBroken() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	broken := w.broken
	w.broken = false
	return broken
}

// end has the worker finish what waits, and remove the shadow.
func (w *worker) end() {
	w.mu.Lock()
	w.ended = true
	w.wake.Signal()
	w.mu.Unlock()
}

func (w *worker) report(now time.Time) Report {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := Report{ID: w.config.ID, Counters: w.counters.load(), WaitingBytes: w.bytes, Blemish: noted(w.config.Root, w.config.ID)}
	if len(w.queue) > 0 {
		r.LagSeconds = now.Sub(time.Unix(0, w.queue[0].since)).Seconds()
	}
	return r
}

func (w *worker) blame(why string) {
	blemish(w.config.Root, w.config.ID, why)
}
