package cubefs

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
)

// Fault is what OnFault is told: the raft group of this partition has ended or
// is about to, or its log refuses writes.
//
// It is told within 10 ms of the end of the call that failed, or when the owner's
// code has returned from what it was told before, at least once for each change to another State,
// Cause or Errno. An
// error of NewStorage is returned and not told. What the library heals inside
// the call is no fault: raft does not notice it. Subscribe to the engine to hear
// of that, too, and of a fault that a call is still working on.
//
// After the call the library goes on trying. Raft closes its storage at the first
// error of StoreEntries, StoreHardState, Entries or Term, and opens it no more:
// there is nothing left to heal until the owner calls NewStorage again. A
// storage that raft still holds was hit between two calls (mode interval,
// housekeeping, a look at an idle log), or in Truncate or ApplySnapshot, whose errors a group survives.
// If it heals before raft writes again, the group goes on as if nothing had been:
// the log is what raft believes it to be, because a call that failed has changed
// nothing and what was acknowledged is there; a log whose state machine may have
// taken a snapshot meanwhile is hidden (Storage.ApplySnapshot). To fence it would end a sound group.
// An owner that has stopped the group on this word has lost nothing either: the
// supervisor does so where the medium has failed, since such a group would go on
// acknowledging heartbeats without a log.
type Fault struct {
	Partition uint64
	Dir       string
	State     bulkhead.State // ReadWrite if only the call failed, as a read of a damaged entry does
	Cause     bulkhead.Cause // CauseNone if raft asked for something impossible; see Err then
	Op        bulkhead.Op
	Errno     syscall.Errno // 0 if no system call failed
	First     uint64        // indexes concerned; 0, 0 if none
	Last      uint64
	Time      time.Time
	// Err is an *bulkhead.Error. Its text contains Go's text of the errno exactly
	// if a system call failed, by which CubeFS recognises a failed disk.
	Err error
}

// faultKey is what makes a fault worth telling again.
type faultKey struct {
	state bulkhead.State
	cause bulkhead.Cause
	errno syscall.Errno
}

// causeOf maps what a call can fail with, without the partition's state
// changing, to its cause.
var causeOf = map[bulkhead.Code]bulkhead.Cause{
	bulkhead.ErrNoSpace:            bulkhead.CauseNoSpace,
	bulkhead.ErrIO:                 bulkhead.CauseIOError,
	bulkhead.ErrReadOnlyFilesystem: bulkhead.CauseReadOnlyFilesystem,
	bulkhead.ErrStalled:            bulkhead.CauseStalled,
	bulkhead.ErrBusy:               bulkhead.CauseStalled,
	bulkhead.ErrPanic:              bulkhead.CausePanic,
	bulkhead.ErrDamaged:            bulkhead.CauseDamage,
	bulkhead.ErrResourceExhausted:  bulkhead.CauseResource,
	bulkhead.ErrLostEntries:        bulkhead.CauseLostEntries,
	bulkhead.ErrFenced:             bulkhead.CauseFenced,
}

// faultOfCall describes a failed call; the caller fills in who it was.
func faultOfCall(err error) Fault {
	f := Fault{State: bulkhead.StateReadWrite, Time: time.Now(), Err: err}
	var e *bulkhead.Error
	if errors.As(err, &e) {
		f.Cause, f.Op, f.Errno, f.First, f.Last = causeOf[e.Code], e.Op, e.Errno, e.First, e.Last
	}
	return f
}

// FaultOf describes an error of NewStorage, which is returned and not told.
func FaultOf(err error) Fault {
	f := faultOfCall(err)
	f.State = bulkhead.StateUnavailable
	return f
}

// refuses tells whether a partition in this state refuses writes by itself.
func refuses(state bulkhead.State) bool {
	return state == bulkhead.StateReadOnly || state == bulkhead.StateUnavailable
}

// latchedFault describes a partition that refuses writes; ok is false if it
// does not, or is closed.
func latchedFault(p *bulkhead.Partition) (f Fault, ok bool) {
	status, err := p.Status()
	if err != nil || !refuses(status.State) {
		return Fault{}, false
	}
	f = Fault{State: status.State, Cause: status.Cause, Op: status.Op, Errno: status.Errno, Time: time.Now()}
	f.Err = p.LastFault()
	var e *bulkhead.Error
	if errors.As(f.Err, &e) {
		f.First, f.Last = e.First, e.Last
	}
	if f.Err == nil {
		f.Err = &bulkhead.Error{Op: status.Op, Partition: p.ID(), Code: bulkhead.ErrIO, Errno: status.Errno, Path: p.Path(),
			Message: "the partition is " + status.State.String() + ": " + status.Cause.String()}
	}
	return f, true
}

// tell has OnFault called unless it has been told the same already.
func (s *Storage) tell(f Fault) {
	if s.config.OnFault == nil {
		return
	}
	s.toldMu.Lock()
	defer s.toldMu.Unlock()
	s.tellLocked(f)
}

// tellLatched tells of a fault that is there at this moment: one that heals after it is
// taken back.
func (s *Storage) tellLatched() {
	s.toldMu.Lock()
	defer s.toldMu.Unlock()
	if f, ok := latchedFault(s.partition); ok && s.config.OnFault != nil {
		s.tellLocked(f)
	}
}

func (s *Storage) tellLocked(f Fault) {
	key := faultKey{f.State, f.Cause, f.Errno}
	f.Partition, f.Dir = s.config.PartitionID, s.dir
	if s.told && s.lastTold == key {
		return
	}
	s.told, s.lastTold = true, key
	s.callBack(func() { s.config.OnFault(f) })
}

// recovered makes the next fault worth telling, whatever it is. A partition that
// has failed again since is not healed, nor is a storage that raft is about to close
// for the fault.
func (s *Storage) recovered() {
	s.toldMu.Lock()
	defer s.toldMu.Unlock()
	if atomic.LoadUint32(&s.ended) != 0 {
		return
	}
	told := s.told
	s.told = false
	if !told || s.config.OnHealed == nil {
		return
	}
	if status, err := s.partition.Status(); err == nil && status.State == bulkhead.StateReadWrite {
		s.callBack(s.config.OnHealed)
	}
}

// callBack queues a call of the owner's code. It needs toldMu.
func (s *Storage) callBack(call func()) {
	s.calls = append(s.calls, call)
	if !s.calling {
		s.calling = true
		go s.callAll()
	}
}

func (s *Storage) callAll() {
	s.toldMu.Lock()
	for len(s.calls) > 0 {
		call := s.calls[0]
		s.calls = s.calls[1:]
		s.toldMu.Unlock()
		call()
		s.toldMu.Lock()
	}
	s.calling = false
	s.toldMu.Unlock() // not deferred: a panic of the owner's code ends the process with its own trace
}

// heard is told of every event of the partition.
func (s *Storage) heard(event bulkhead.Event) {
	switch {
	case refuses(event.To) && s.config.Mode == bulkhead.ModeNone:
		go s.tellUnlessHealed()
	case refuses(event.To):
		s.tellLatched()
	case event.To == bulkhead.StateReadWrite && event.From != bulkhead.StateReadWrite:
		s.recovered()
	}
	// From ReadWrite to ReadWrite: something was met and healed inside a call, or
	// a read failed, which says so itself. The partition never stopped.
}

// healingTime is how long a write of mode none may work on a fault before the
// owner is told regardless: more than the default limits of the engine.
const healingTime = time.Second

// tellUnlessHealed waits for the write that is under way. In mode none a call
// heals on its own thread, and the partition is latched meanwhile; the fault is
// one only if it is still there when the call is over.
func (s *Storage) tellUnlessHealed() {
	over := make(chan struct{})
	go func() {
		defer close(over)
		s.writeMu.Lock() // also while it is looked: the next write may meet a fault, and heal it
		defer s.writeMu.Unlock()
		s.tellLatched()
	}()
	timer := time.NewTimer(healingTime)
	defer timer.Stop()
	select {
	case <-over:
	case <-timer.C:
		s.tellLatched()
	}
}

// failed is called with the error of every call on which raft gives up.
func (s *Storage) failed(err error) error {
	if errors.Is(err, bulkhead.ErrClosed) {
		if s.ClosedUnused() { // raft has made a group of it all the same
			f := faultOfCall(err)
			f.State = bulkhead.StateClosed
			s.tell(f)
		}
		return err
	}
	atomic.StoreUint32(&s.ended, 1)
	if f, ok := latchedFault(s.partition); ok {
		s.tell(f)
	} else {
		s.tell(faultOfCall(err))
	}
	return err
}

// watchers holds one watcher per engine that has storages.
var watchers struct {
	mu sync.Mutex
	of map[*bulkhead.Engine]*watcher
}

// watcher hands the events of one engine to its storages. It ends with the
// engine.
type watcher struct {
	sub *bulkhead.Subscription

	mu       sync.Mutex
	storages map[*bulkhead.Partition]*Storage
}

func watcherOf(engine *bulkhead.Engine) *watcher {
	watchers.mu.Lock()
	defer watchers.mu.Unlock()
	w := watchers.of[engine]
	if w == nil {
		w = &watcher{sub: engine.Subscribe(), storages: make(map[*bulkhead.Partition]*Storage)}
		if watchers.of == nil {
			watchers.of = make(map[*bulkhead.Engine]*watcher)
		}
		watchers.of[engine] = w
		go w.run(engine)
	}
	return w
}

func (w *watcher) run(engine *bulkhead.Engine) {
	for {
		event, err := w.sub.Next(context.Background())
		if err != nil {
			break // the engine is closed
		}
		w.mu.Lock()
		s := w.storages[event.Partition]
		w.mu.Unlock()
		if s == nil {
			continue
		}
		s.heard(event)
	}
	watchers.mu.Lock()
	delete(watchers.of, engine)
	watchers.mu.Unlock()
}

func (w *watcher) add(s *Storage) {
	w.mu.Lock()
	w.storages[s.partition] = s
	w.mu.Unlock()
}

func (w *watcher) remove(s *Storage) {
	w.mu.Lock()
	delete(w.storages, s.partition)
	w.mu.Unlock()
}
