package bulkhead

// #include "shim.h"
import "C"

import (
	"sync"
	"time"
)

// waiter is one goroutine that waits for a completion.
type waiter struct {
	answer chan completion // capacity 1: the dispatcher never waits for a reader
	token  uint64
}

type completion struct {
	status int32
	errno  int32
	err    error // set instead of the others when the engine was closed
}

var waiterPool = sync.Pool{New: func() interface{} { return &waiter{answer: make(chan completion, 1)} }}

// waiterTable knows which goroutine waits for which token. The library answers
// every accepted token exactly once.
type waiterTable struct {
	mu      sync.Mutex
	waiting map[uint64]*waiter
	next    uint64
	refused bool
	empty   chan struct{} // not nil while drain waits
}

// add returns nil when the engine is being closed.
func (t *waiterTable) add() *waiter {
	w := waiterPool.Get().(*waiter)
	t.mu.Lock()
	if t.refused {
		t.mu.Unlock()
		waiterPool.Put(w)
		return nil
	}
	t.next++
	w.token = t.next
	t.waiting[w.token] = w
	t.mu.Unlock()
	return w
}

// remove takes back a token that the library did not accept.
func (t *waiterTable) remove(w *waiter) {
	t.mu.Lock()
	answered := t.waiting[w.token] != w
	t.drop(w.token)
	t.mu.Unlock()
	if answered {
		<-w.answer // by fail meanwhile; it is not for the next one that waits
	}
	waiterPool.Put(w)
}

func (t *waiterTable) drop(token uint64) {
	delete(t.waiting, token)
	if len(t.waiting) == 0 && t.empty != nil {
		close(t.empty)
		t.empty = nil
	}
}

// deliver answers a batch under one lock.
func (t *waiterTable) deliver(batch []C.bulkhead_completion) {
	t.mu.Lock()
	for i := range batch {
		token := uint64(batch[i].token)
		if w := t.waiting[token]; w != nil {
			w.answer <- completion{status: int32(batch[i].status), errno: int32(batch[i].os_errno)}
			t.drop(token)
		}
	}
	t.mu.Unlock()
}

func (t *waiterTable) refuseNew() {
	t.mu.Lock()
	t.refused = true
	t.mu.Unlock()
}

// drain waits until nobody waits any more, or the limit is over.
func (t *waiterTable) drain(limit time.Duration) {
	t.mu.Lock()
	if len(t.waiting) == 0 {
		t.mu.Unlock()
		return
	}
	empty := make(chan struct{})
	t.empty = empty
	t.mu.Unlock()
	timer := time.NewTimer(limit)
	select {
	case <-empty:
	case <-timer.C:
	}
	timer.Stop()
}

// fail answers everyone who still waits.
func (t *waiterTable) fail(err error) {
	t.mu.Lock()
	for token, w := range t.waiting {
		w.answer <- completion{err: err}
		t.drop(token)
	}
	t.mu.Unlock()
}

// completionBatch bounds how many completions one cgo call fetches.
const completionBatch = 256

// drainCompletions is called by one pump at a time. True if more may wait.
func (e *Engine) drainCompletions() bool {
	n := int(C.bh_engine_completions(e.handle, &e.completionBuffer[0], completionBatch))
	if n > 0 {
		e.waiters.deliver(e.completionBuffer[:n])
	}
	return n == completionBatch
}
