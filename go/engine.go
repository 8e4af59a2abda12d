package bulkhead

// #include "shim.h"
import "C"

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// liveEngines and livePartitions count open handles, so that tests and
// programs can find out that one was forgotten.
var liveEngines, livePartitions int64

// LiveHandles returns how many engines and partitions of this process are open.
func LiveHandles() (engines, partitions int64) {
	return atomic.LoadInt64(&liveEngines), atomic.LoadInt64(&livePartitions)
}

// defaultStallLimit is the library's, where it cannot be asked any more.
const defaultStallLimit = 5 * time.Second

// Engine owns the threads, the disks and the event queue of its partitions.
// One per process is enough.
type Engine struct {
	handle    C.bulkhead_engine
	waiters   waiterTable
	log       engineLog
	events    *pump
	completed *pump

	// Here, so that no drain allocates. The second belongs to one pump.
	eventBuffer      [eventBatch]C.bulkhead_event
	completionBuffer [completionBatch]C.bulkhead_completion

	drainMu sync.Mutex // from the fetch of events until they are delivered, in order; before mu

	mu         sync.Mutex
	partitions map[C.bulkhead_partition]*Partition
	openings   map[uint64]*opening // by partition id: those under way
	disks      map[uint64]*disk
	subs       map[*Subscription]struct{}
	closing    bool
	closed     chan struct{} // closed when Close is through
	closeErr   error

	whileOpening func() // for tests: called where the library has opened a partition that is not known here yet
}

// Open starts an engine. It must be closed.
func Open(config EngineConfig) (*Engine, error) {
	var ms [7]uint32
	for i, limit := range []struct {
		field string
		value time.Duration
		never bool
	}{
		{"Interval", config.Interval, false},
		{"StallLimit", config.StallLimit, false},
		{"HealLimit", config.HealLimit, true},
		{"SpaceWait", config.SpaceWait, true},
		{"Probe", config.Probe, true},
		{"SlowDisk", config.SlowDisk, true},
		{"IdleCheck", config.IdleCheck, true},
	} {
		if limit.never && limit.value == Never {
			ms[i] = C.BULKHEAD_NEVER
			continue
		}
		var err error
		if ms[i], err = milliseconds(limit.field, limit.value); err != nil {
			return nil, err
		}
	}
	out := C.bh_engine_open(C.bulkhead_engine_config{
		max_entry_bytes:        C.uint32_t(config.MaxEntryBytes),
		segment_min_bytes:      C.uint32_t(config.SegmentMinBytes),
		segment_max_bytes:      C.uint32_t(config.SegmentMaxBytes),
		interval_ms:            C.uint32_t(ms[0]),
		stall_limit_ms:         C.uint32_t(ms[1]),
		flush_threads_per_disk: C.uint32_t(config.FlushThreadsPerDisk),
		read_cache_bytes:       C.uint64_t(config.ReadCacheBytes),
		heal_limit_ms:          C.uint32_t(ms[2]),
		space_wait_ms:          C.uint32_t(ms[3]),
		probe_ms:               C.uint32_t(ms[4]),
		slow_disk_ms:           C.uint32_t(ms[5]),
		idle_check_ms:          C.uint32_t(ms[6]),
	})
	if err := takeError(out.err); err != nil {
		return nil, err
	}
	e := &Engine{
		handle:     C.bulkhead_engine(out.value),
		partitions: make(map[C.bulkhead_partition]*Partition),
		openings:   make(map[uint64]*opening),
		disks:      make(map[uint64]*disk),
		subs:       make(map[*Subscription]struct{}),
		closed:     make(chan struct{}),
	}
	e.waiters.waiting = make(map[uint64]*waiter)
	if err := e.startPumps(); err != nil {
		C.bh_free_error(C.bh_engine_close(e.handle))
		return nil, err
	}
	atomic.AddInt64(&liveEngines, 1)
	return e, nil
}

// milliseconds refuses what the ABI's 32-bit milliseconds cannot carry; the
// library checks the range itself.
func milliseconds(field string, d time.Duration) (uint32, error) {
	ms := d / time.Millisecond
	if d < 0 || (d > 0 && ms == 0) || ms > math.MaxUint32 {
		return 0, &Error{Op: OpOpen, Code: ErrInvalidConfig,
			Message: "EngineConfig." + field + " is " + d.String() + ": give it in whole milliseconds, or 0 for the default"}
	}
	return uint32(ms), nil
}

func (e *Engine) startPumps() error {
	out := C.bh_engine_event_fd(e.handle)
	if err := takeError(out.err); err != nil {
		return err
	}
	var err error
	if e.events, err = startPump(int(out.value), "bulkhead events", e.drainEvents); err != nil {
		return err
	}
	out = C.bh_engine_completion_fd(e.handle)
	if err = takeError(out.err); err == nil {
		e.completed, err = startPump(int(out.value), "bulkhead completions", e.drainCompletions)
	}
	if err != nil {
		e.events.stop()
	}
	return err
}

// Close closes the partitions that are still open and stops the engine. Calls
// that wait for durability are answered first, at the latest after the stall
// limit; then it waits until what LogTo was given has written what is left.
// Closing again waits for the first Close and returns its error.
func (e *Engine) Close() error {
	if e.log.isCalling() {
		return &Error{Op: OpClose, Code: ErrBusy, Message: "called by what LogTo was given, which it would wait for; return from it first"}
	}
	e.mu.Lock()
	if e.closing {
		e.mu.Unlock()
		<-e.closed
		return e.closeErr
	}
	e.closing = true
	e.mu.Unlock()
	stallLimit := time.Duration(0)
	for _, p := range e.Partitions() {
		if limit := p.stallLimit(); limit > stallLimit {
			stallLimit = limit
		}
	}

	// The library must deliver the completions of what it accepted before its
	// handle goes; the second is for the way here.
	e.waiters.refuseNew()
	e.waiters.drain(stallLimit + time.Second)
	err := e.closePartitions()
	// Not while the engine is closed: what an event of limits changed is another
	// call, which must come before that. Here the last ones are fetched, those of
	// partitions that could not close well among them; of one that somebody else is
	// closing meanwhile they may come too late.
	e.events.stop()
	for e.drainEvents() {
	}
	if closeErr := takeError(C.bh_engine_close(e.handle)); err == nil {
		err = closeErr
	}
	e.completed.stop()
	e.log.end()
	e.waiters.fail(&Error{Op: OpAppend, Code: ErrClosed,
		Message: "the engine was closed before the disk answered: the entries may or may not be durable"})

	e.mu.Lock()
	for _, o := range e.openings {
		e.release(o, len(o.held)) // an open that is still under way fails
	}
	for _, p := range e.partitions {
		p.forget()
	}
	e.partitions = nil
	subs := e.subs
	e.subs = nil
	e.closeErr = err
	e.mu.Unlock()
	for s := range subs {
		s.end()
	}
	atomic.AddInt64(&liveEngines, -1)
	close(e.closed)
	return err
}

// OpenPartition opens a partition's directory. If the log in it is damaged or
// the disk fails, the partition opens all the same and is Unavailable with its
// cause (see Status and LastFault), so that it can be inspected and read as far
// as possible. What the caller did wrong, a lock, a foreign directory or a
// version from the future is an error.
func (e *Engine) OpenPartition(config PartitionConfig) (*Partition, error) {
	maybeGC()
	if len(config.Path) > math.MaxUint32 {
		return nil, &Error{Op: OpOpen, Partition: config.ID, Code: ErrInvalidArgument, Message: "the path is over 4 GiB"}
	}
	device := deviceOf(config.Path)
	e.beginOpening(config.ID)
	path := []byte(config.Path)
	out := C.bh_partition_open(e.handle, C.uint32_t(config.Mode), C.uint32_t(config.Disposition),
		(*C.uint8_t)(bytesPointer(path)), C.uint32_t(len(path)), C.uint64_t(config.ID), C.uint64_t(config.KnownIndex))
	if e.whileOpening != nil {
		e.whileOpening()
	}
	err := takeError(out.err)
	e.mu.Lock()
	defer e.mu.Unlock()
	if err == nil && e.closing {
		// The engine's Close closes the C side.
		err = &Error{Op: OpOpen, Partition: config.ID, Code: ErrClosed, Path: config.Path, Message: "the engine is closed"}
	}
	if err != nil {
		e.endOpening(config.ID, nil)
		return nil, err
	}
	p := &Partition{
		engine: e,
		handle: C.bulkhead_partition(out.value),
		id:     config.ID,
		path:   config.Path,
		waits:  config.Mode == ModeDefault || config.Mode == ModeSync,
	}
	p.disk = e.disks[device]
	if p.disk == nil {
		p.disk = newDisk()
		e.disks[device] = p.disk
	}
	e.partitions[p.handle] = p
	atomic.AddInt64(&livePartitions, 1)
	e.endOpening(config.ID, p)
	return p, nil
}

// Partitions returns the open partitions of the engine, in no order.
func (e *Engine) Partitions() []*Partition {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := make([]*Partition, 0, len(e.partitions))
	for _, p := range e.partitions {
		out = append(out, p)
	}
	return out
}

// closePartitions closes those that are open, a few of each disk at a time, so
// that a disk that hangs holds up its own only, and returns the first error.
func (e *Engine) closePartitions() error {
	disks := make(map[*disk][]*Partition)
	for _, p := range e.Partitions() {
		disks[p.disk] = append(disks[p.disk], p)
	}
	errs := make(chan error, len(disks))
	for _, partitions := range disks {
		go func(partitions []*Partition) { errs <- closeAll(partitions) }(partitions)
	}
	var first error
	for range disks {
		if err := <-errs; first == nil {
			first = err
		}
	}
	return first
}

func closeAll(partitions []*Partition) error {
	open := make(chan *Partition, len(partitions))
	for _, p := range partitions {
		open <- p
	}
	close(open)
	errs := make(chan error, otherSlotsPerDisk)
	for i := 0; i < otherSlotsPerDisk; i++ {
		go func() {
			var first error
			for p := range open {
				// Closed by somebody else meanwhile: not ours to tell.
				if err := p.Close(); err != nil && !errors.Is(err, ErrClosed) && first == nil {
					first = err
				}
			}
			errs <- first
		}()
	}
	var first error
	for i := 0; i < otherSlotsPerDisk; i++ {
		if err := <-errs; first == nil {
			first = err
		}
	}
	return first
}

// deviceOf tells which disk a directory is on, or will be made on: what waits for
// one disk must not wait for another. Directories that cannot be asked share one.
func deviceOf(path string) uint64 {
	device, err := DeviceOf(path)
	if errors.Is(err, os.ErrNotExist) {
		device, _ = DeviceOf(filepath.Dir(filepath.Clean(path)))
	}
	return device
}
