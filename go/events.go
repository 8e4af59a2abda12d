package bulkhead

// #include "shim.h"
import "C"

import (
	"context"
	"sync"
	"syscall"
	"time"
)

// eventBatch bounds how many events one cgo call fetches.
const eventBatch = 64

// pendingEvents is how many events a Subscription keeps before it merges those
// of one partition.
const pendingEvents = 1024

// Subscription receives the events of an engine from the moment it was made.
type Subscription struct {
	engine *Engine

	mu      sync.Mutex
	pending []Event
	taken   int              // how many events Next has taken since pending was last empty
	latest  map[eventKey]int // each partition's latest event, as taken + its place in pending
	ended   bool
	wake    chan struct{} // capacity 1
	channel chan Event    // nil until somebody wants it
	closed  chan struct{} // closed by Close
}

// eventKey tells apart what is merged: partitions, of which those that are closed
// have no pointer, and limits that were set from everything else.
type eventKey struct {
	partition *Partition
	id        uint64
	limits    Scope // 0 if it sets none
	device    uint64
}

func keyOf(event *Event) eventKey {
	key := eventKey{partition: event.Partition, id: event.PartitionID}
	if event.Op == OpSetLimits {
		key.limits = ScopeOpen // none of these: what it set was not to be had
	}
	if len(event.Limits) > 0 {
		key.limits, key.device = event.Limits[0].ChangedFor, event.Limits[0].Device
	}
	return key
}

// Subscribe returns a new receiver of events. It must be closed, or the engine.
func (e *Engine) Subscribe() *Subscription {
	s := &Subscription{engine: e, latest: make(map[eventKey]int), wake: make(chan struct{}, 1), closed: make(chan struct{})}
	e.mu.Lock()
	if e.subs == nil {
		s.ended = true
	} else {
		e.subs[s] = struct{}{}
	}
	e.mu.Unlock()
	return s
}

// Next waits for the next event. It returns ErrClosed after Close of the
// subscription or the engine, once what was pending is delivered, and the
// context's error when that ends first. One goroutine at a time may call it.
func (s *Subscription) Next(ctx context.Context) (Event, error) {
	for {
		s.mu.Lock()
		if len(s.pending) > 0 {
			event := s.take()
			s.mu.Unlock()
			return event, nil
		}
		ended := s.ended
		s.mu.Unlock()
		if ended {
			return Event{}, &Error{Op: OpStatus, Code: ErrClosed, Message: "no more events"}
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
			return Event{}, ctx.Err()
		}
	}
}

// Events returns the events as a channel, for a select; take them from it or from
// Next, not from both. It is closed after Close of the engine, once what was
// pending has been received, and after Close of the subscription: receive until it
// is closed, or close the subscription.
func (s *Subscription) Events() <-chan Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.channel == nil {
		s.channel = make(chan Event)
		go s.send(s.channel)
	}
	return s.channel
}

func (s *Subscription) send(channel chan<- Event) {
	defer close(channel)
	for {
		event, err := s.Next(context.Background())
		if err != nil {
			return
		}
		select {
		case channel <- event:
		case <-s.closed:
			return
		}
	}
}

// take removes the oldest pending event.
func (s *Subscription) take() Event {
	event := s.pending[0]
	s.pending = s.pending[1:]
	s.taken++
	if len(s.pending) == 0 {
		s.pending, s.taken, s.latest = nil, 0, make(map[eventKey]int)
	}
	return event
}

// Close ends the subscription. Closing it again is nothing.
func (s *Subscription) Close() {
	s.engine.mu.Lock()
	delete(s.engine.subs, s)
	s.engine.mu.Unlock()
	s.end()
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.closed:
	default:
		close(s.closed)
	}
}

func (s *Subscription) end() {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.signal()
}

func (s *Subscription) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *Subscription) add(event Event) {
	key := keyOf(&event)
	s.mu.Lock()
	if at, ok := s.latest[key]; ok && at >= s.taken && len(s.pending) >= pendingEvents {
		earlier := &s.pending[at-s.taken]
		event.From = earlier.From
		event.Merged += earlier.Merged + 1
		event.Limits = joinLimits(earlier.Limits, event.Limits)
		*earlier = event
	} else {
		s.latest[key] = s.taken + len(s.pending)
		s.pending = append(s.pending, event)
	}
	s.mu.Unlock()
	s.signal()
}

// holdLimit is how long an event waits for the open that it may be of: one that hangs
// must not keep from the owner what the library tells of it.
const holdLimit = time.Second

// opening is a partition id of which opens are under way. The library tells of a
// partition before OpenPartition knows it, at first without a handle.
type opening struct {
	calls  int
	opened []*Partition
	held   []heldEvent // oldest first
	late   *time.Timer // of the oldest
}

type heldEvent struct {
	handle C.bulkhead_partition
	event  Event
	since  time.Time
}

// beginOpening is called before the library is: what that tells of the id up to here
// is of an earlier opening.
func (e *Engine) beginOpening(id uint64) {
	for e.drainEvents() {
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	o := e.openings[id]
	if o == nil {
		o = &opening{}
		e.openings[id] = o
	}
	o.calls++
}

// endOpening needs mu; p is nil if the open has failed.
func (e *Engine) endOpening(id uint64, p *Partition) {
	o := e.openings[id]
	o.calls--
	if p != nil {
		o.opened = append(o.opened, p)
	}
	if o.calls == 0 {
		delete(e.openings, id)
		e.release(o, len(o.held))
	}
}

// hear delivers an event, or holds it if it may be of a partition that is being
// opened, or follows such a one. It needs mu.
func (e *Engine) hear(handle C.bulkhead_partition, event Event) {
	event.Partition = e.partitions[handle]
	o := e.openings[event.PartitionID]
	ofNone := handle == 0 && event.Op == OpSetLimits // of the engine or a disk
	unknown := event.Partition == nil && event.To != StateClosed
	if o == nil || ofNone || !unknown && len(o.held) == 0 {
		e.deliver(event)
		return
	}
	o.held = append(o.held, heldEvent{handle, event, time.Now()})
	if len(o.held) == 1 {
		o.late = time.AfterFunc(holdLimit, func() { e.releaseLate(o) })
	}
}

func (e *Engine) releaseLate(o *opening) {
	e.mu.Lock()
	defer e.mu.Unlock()
	late := 0
	for late < len(o.held) && time.Since(o.held[late].since) >= holdLimit {
		late++
	}
	e.release(o, late)
}

// release delivers the oldest events that are held. It needs mu.
func (e *Engine) release(o *opening, count int) {
	for _, h := range o.held[:count] {
		handle := h.handle
		if handle == 0 && h.event.To != StateClosed && o.calls == 0 && len(o.opened) == 1 {
			handle = o.opened[0].handle
		}
		h.event.Partition = e.partitions[handle]
		e.deliver(h.event)
	}
	o.held = o.held[count:]
	switch {
	case o.late == nil:
	case len(o.held) > 0:
		o.late.Reset(holdLimit - time.Since(o.held[0].since))
	default:
		o.late.Stop()
	}
}

// deliver needs mu.
func (e *Engine) deliver(event Event) {
	for s := range e.subs {
		s.add(event)
	}
}

// drainEvents returns true if more may wait.
func (e *Engine) drainEvents() bool {
	e.drainMu.Lock()
	defer e.drainMu.Unlock()
	n := int(C.bh_engine_events(e.handle, &e.eventBuffer[0], eventBatch))
	if n <= 0 {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range e.eventBuffer[:n] {
		c := &e.eventBuffer[i]
		event := Event{
			Sequence:    uint64(c.sequence),
			PartitionID: uint64(c.partition_id),
			Time:        time.Unix(0, int64(c.time_unix_ns)),
			From:        State(c.from_state),
			To:          State(c.to_state),
			Cause:       Cause(c.cause),
			Op:          Op(c.operation),
			Errno:       syscall.Errno(c.os_errno),
			Merged:      uint32(c.merged),
			Range:       Range{uint64(c.first_index), uint64(c.last_index)},
		}
		if event.Op == OpSetLimits {
			event.Limits = e.eventLimits(event.Sequence)
		}
		e.hear(c.partition, event)
	}
	return n == eventBatch
}
