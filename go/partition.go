package bulkhead

// #include "shim.h"
import "C"

import (
	"math"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// Partition is one open log.
type Partition struct {
	term, vote uint64 // atomic: what SetHardState has kept last; first, for 32-bit systems

	engine *Engine
	disk   *disk
	handle C.bulkhead_partition
	id     uint64
	path   string
	waits  bool // an append waits for the disk
	closed int32
}

// ID returns the partition id it was opened with.
func (p *Partition) ID() uint64 { return p.id }

// Path returns the directory it was opened with.
func (p *Partition) Path() string { return p.path }

// Close closes the log and makes its directory self-contained: it may be
// renamed, copied or removed when Close returns nil. A partition that is
// Unavailable closes at once. Calls that are inside are answered; later ones
// return ErrClosed, Close itself too.
func (p *Partition) Close() error {
	maybeGC()
	if p.forget() {
		p.engine.mu.Lock()
		delete(p.engine.partitions, p.handle)
		p.engine.mu.Unlock()
	}
	// An orderly close waits for the disk, like SetHardState. One of a faulted
	// partition does not, and must not wait for others that do.
	entered := false
	if status := C.bh_get_status(p.handle); status.err == nil && status.status.state == C.BULKHEAD_STATE_READ_WRITE {
		entered = p.enter(OpClose) == nil
	} else {
		C.bh_free_error(status.err)
	}
	err := takeError(C.bh_partition_close(p.handle))
	if entered {
		p.leave(err == nil)
	}
	return err
}

// forget counts the partition as closed, once.
func (p *Partition) forget() bool {
	if !atomic.CompareAndSwapInt32(&p.closed, 0, 1) {
		return false
	}
	atomic.AddInt64(&livePartitions, -1)
	return true
}

// Term returns the term of an index. The compaction point's term is known;
// below it the error is ErrCompacted, beyond the last entry ErrOutOfRange.
func (p *Partition) Term(index uint64) (uint64, error) {
	maybeGC()
	out := C.bh_term(p.handle, C.uint64_t(index))
	if out.err != nil {
		return 0, takeError(out.err)
	}
	return uint64(out.value), nil
}

// Bounds returns the first and the last index of the log. The first is the
// compaction point + 1; the last is the compaction point if the log is empty.
func (p *Partition) Bounds() (first, last uint64, err error) {
	maybeGC()
	out := C.bh_bounds(p.handle)
	if out.err != nil {
		return 0, 0, takeError(out.err)
	}
	return uint64(out.first), uint64(out.last), nil
}

// Compact drops the entries up to index, included, and raises the commit to it.
// At or below the compaction point it does nothing; beyond the last entry the
// error is ErrOutOfRange.
func (p *Partition) Compact(index uint64) error {
	maybeGC()
	if err := p.enter(OpCompact); err != nil {
		return err
	}
	before := p.progress()
	err := takeError(C.bh_compact(p.handle, C.uint64_t(index)))
	p.leave(err == nil && p.progress() != before)
	return err
}

// Reset empties the log after a snapshot: it continues at index + 1, index
// becomes the compaction point with that term and the commit index. Term and
// vote of the hard state stay. An index below the compaction point is
// ErrCompacted, below the commit ErrCommitOutOfRange, of 2^62 - 2 or more
// ErrOutOfRange; a term below the compaction point's ErrTermRegression.
func (p *Partition) Reset(index, term uint64) error {
	maybeGC()
	if err := p.enter(OpReset); err != nil {
		return err
	}
	err := takeError(C.bh_reset(p.handle, C.uint64_t(index), C.uint64_t(term)))
	p.leave(err == nil)
	return err
}

// SetHardState keeps term, vote and commit. A new term or vote is durable when
// it returns, in every mode. A commit beyond the last entry or going back is
// ErrCommitOutOfRange, a term going back ErrTermRegression.
func (p *Partition) SetHardState(state HardState) error {
	maybeGC()
	if err := p.enter(OpHardState); err != nil {
		return err
	}
	err := takeError(C.bh_set_hard_state(p.handle, C.uint64_t(state.Term), C.uint64_t(state.Vote), C.uint64_t(state.Commit)))
	stored := atomic.LoadUint64(&p.term) != state.Term || atomic.LoadUint64(&p.vote) != state.Vote
	p.leave(err == nil && stored) // a commit alone needs no disk
	if err == nil && stored {
		atomic.StoreUint64(&p.term, state.Term)
		atomic.StoreUint64(&p.vote, state.Vote)
	}
	return err
}

// HardState returns what SetHardState and Reset kept.
func (p *Partition) HardState() (HardState, error) {
	maybeGC()
	out := C.bh_get_hard_state(p.handle)
	if out.err != nil {
		return HardState{}, takeError(out.err)
	}
	return HardState{uint64(out.state.term), uint64(out.state.vote), uint64(out.state.commit)}, nil
}

// Sync returns when all accepted entries are durable, in every mode.
func (p *Partition) Sync() error {
	maybeGC()
	if err := p.enter(OpSync); err != nil {
		return err
	}
	before := p.progress()
	err := takeError(C.bh_sync(p.handle))
	p.leave(err == nil && p.progress() != before)
	return err
}

// Recover tries to bring an Unavailable or ReadOnly partition back to
// ReadWrite. It returns the error that keeps it down. The library tries by
// itself, too (EngineConfig.Probe), unless it is damaged or entries are lost.
func (p *Partition) Recover() error {
	maybeGC()
	if err := p.enter(OpRecover); err != nil {
		return err
	}
	err := takeError(C.bh_recover(p.handle))
	p.leave(err == nil)
	return err
}

// Fence takes the partition out of service by hand: to StateReadOnly (appends
// are refused, votes and compaction work) or StateUnavailable, until Release.
// What was accepted before is made durable first; what a fault keeps from the
// disk stays in memory until that is healed, on a full disk fenced as
// StateUnavailable until Release (Status.DurableIndex says how far it is).
// Calls that are refused get ErrFenced and the reason; neither a probe nor
// Recover brings the partition back. One that has a fault keeps it, and is
// fenced when that is healed. Close ends the fence.
func (p *Partition) Fence(state State, reason string) error {
	maybeGC()
	if err := p.enter(OpFence); err != nil {
		return err
	}
	text := []byte(reason)
	err := takeError(C.bh_fence(p.handle, C.uint32_t(state), (*C.char)(bytesPointer(text)), C.size_t(len(text))))
	p.leave(err == nil)
	return err
}

// Release ends what Fence began: the partition is ReadWrite again, unless it has
// a fault, which heals like any other.
func (p *Partition) Release() error {
	maybeGC()
	if err := p.enter(OpRecover); err != nil {
		return err
	}
	err := takeError(C.bh_release(p.handle))
	p.leave(err == nil)
	return err
}

// Verify reads and checks every record on disk, on the caller's thread: it takes as
// long as the disk does. Records that are bad are counted in the report and are no
// error of the call. Four partitions of a disk are verified at a time, others wait
// for them. The error is ErrStalled when all four take longer than the stall limit
// and a second for each MiB of their logs.
func (p *Partition) Verify() (VerifyReport, error) {
	maybeGC()
	slot, err := p.enterVerify()
	if err != nil {
		return VerifyReport{}, err
	}
	out := C.bh_verify(p.handle)
	p.leaveVerify(slot)
	if out.err != nil {
		return VerifyReport{}, takeError(out.err)
	}
	return VerifyReport{
		Segments:   uint64(out.report.segments),
		Entries:    uint64(out.report.entries),
		Bytes:      uint64(out.report.bytes),
		BadRecords: uint64(out.report.bad_records),
		Bad:        Range{uint64(out.report.first_bad_index), uint64(out.report.last_bad_index)},
	}, nil
}

// Status returns what the partition knows about itself. It never waits for the
// disk.
func (p *Partition) Status() (Status, error) {
	maybeGC()
	out := C.bh_get_status(p.handle)
	if out.err != nil {
		return Status{}, takeError(out.err)
	}
	return statusOf(&out.status), nil
}

// LastFault returns the error that took the partition out of ReadWrite, an
// *Error; nil if there is none, or if the partition is closed.
func (p *Partition) LastFault() error {
	maybeGC()
	return takeError(C.bh_last_fault(p.handle))
}

func statusOf(c *C.bulkhead_partition_status) Status {
	s := Status{
		PartitionID:       uint64(c.partition_id),
		State:             State(c.state),
		Cause:             Cause(c.cause),
		Mode:              Mode(c.mode),
		Errno:             syscall.Errno(c.os_errno),
		Op:                Op(c.operation),
		FirstIndex:        uint64(c.first_index),
		LastIndex:         uint64(c.last_index),
		LastTerm:          uint64(c.last_term),
		CompactionIndex:   uint64(c.compaction_index),
		CompactionTerm:    uint64(c.compaction_term),
		HardState:         HardState{uint64(c.term), uint64(c.vote), uint64(c.commit)},
		DurableIndex:      uint64(c.durable_index),
		Segments:          uint64(c.segments),
		SegmentBytes:      uint64(c.segment_bytes),
		KeptBytes:         uint64(c.kept_bytes),
		Damaged:           Range{uint64(c.damaged_first), uint64(c.damaged_last)},
		DamagedEntries:    uint64(c.damaged_entries),
		Lost:              Range{uint64(c.lost_first), uint64(c.lost_last)},
		MaybeAcknowledged: Range{uint64(c.maybe_acknowledged_first), uint64(c.maybe_acknowledged_last)},
		Unsynced:          Range{uint64(c.unsynced_first), uint64(c.unsynced_last)},
		Appends:           uint64(c.appends),
		Entries:           uint64(c.entries),
		Bytes:             uint64(c.bytes),
		Flushes:           uint64(c.flushes),
		Errors:            uint64(c.errors),
		Heals:             uint64(c.heals),
		SlowOperations:    uint64(c.slow_operations),
	}
	for i := range s.Incarnation {
		s.Incarnation[i] = byte(c.incarnation[i])
		s.Epoch[i] = byte(c.epoch[i])
	}
	return s
}

// bytesPointer is nil for an empty slice, where &b[0] would panic.
func bytesPointer(b []byte) unsafe.Pointer {
	if len(b) == 0 {
		return nil
	}
	return unsafe.Pointer(&b[0])
}

// tooLarge tells whether a payload does not fit the ABI's 32-bit length.
func tooLarge(data []byte) bool { return uint64(len(data)) > math.MaxUint32 }
