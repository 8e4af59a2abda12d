package bulkhead

import (
	"math"
	"sync/atomic"
	"time"
)

// disk keeps what bounds how many goroutines wait inside the library for one
// disk, each of which holds an OS thread.
type disk struct {
	done        uint64                    // atomic: calls with a slot of otherSlots that the disk has served; first, for 32-bit systems
	verifyDue   [verifySlotsPerDisk]int64 // atomic: by when each slot of verifySlots should be free, in ns of sinceStart; MaxInt64 if it is
	appending   crowd
	otherSlots  chan struct{} // SetHardState and the like, which have no form that does not wait
	verifySlots chan int      // those that are free, for Verify, which takes long: votes do not wait for it
}

// otherSlotsPerDisk is above the default of 8 flush threads per disk, so that
// these are never idle for want of a caller.
const otherSlotsPerDisk = 16

// verifySlotsPerDisk is enough to keep a disk busy with reads.
const verifySlotsPerDisk = 4

// verifySlowest is less than what a sound disk reads for each of its verifies, in
// bytes per second.
const verifySlowest = 1 << 20

func newDisk() *disk {
	d := &disk{appending: newCrowd(), otherSlots: make(chan struct{}, otherSlotsPerDisk),
		verifySlots: make(chan int, verifySlotsPerDisk)}
	for slot := 0; slot < verifySlotsPerDisk; slot++ {
		d.verifyDue[slot] = math.MaxInt64
		d.verifySlots <- slot
	}
	return d
}

// enter waits for one of the disk's slots: a call that waits for the disk holds
// an OS thread, and thousands of partitions may vote at once. It gives up when the
// disk has done nothing for the calls before it for a stall limit: it hangs then,
// and is not only busy.
func (p *Partition) enter(op Op) error {
	select {
	case p.disk.otherSlots <- struct{}{}:
		return nil
	default:
	}
	limit := p.stallLimit()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		done := atomic.LoadUint64(&p.disk.done)
		select {
		case p.disk.otherSlots <- struct{}{}:
			return nil
		case <-timer.C:
			if atomic.LoadUint64(&p.disk.done) != done {
				timer.Reset(limit)
				continue
			}
		}
		return &Error{Op: op, Partition: p.id, Code: ErrStalled, Path: p.path,
			Message: "the calls before this one wait for the disk longer than the stall limit; nothing was changed"}
	}
}

// progress is what changes if a Compact or a Sync has had something to do.
func (p *Partition) progress() (point [2]uint64) {
	if status, err := p.Status(); err == nil {
		point = [2]uint64{status.CompactionIndex, status.DurableIndex}
	}
	return point
}

// leave gives the slot back. A call that failed says nothing for the disk: of one
// that hangs, each comes back at its stall limit. Nor does one that needed no disk.
func (p *Partition) leave(done bool) {
	if done {
		atomic.AddUint64(&p.disk.done, 1)
	}
	<-p.disk.otherSlots
}

var start = time.Now()

// sinceStart is a clock that nobody sets.
func sinceStart() int64 { return int64(time.Since(start)) }

// enterVerify waits for one of the disk's slots of verifies. A verify takes as long as
// its log is large, so that none that ends is no sign of a disk that hangs: it gives
// up when all that are under way are overdue.
func (p *Partition) enterVerify() (slot int, err error) {
	limit := p.stallLimit()
	timer := time.NewTimer(p.disk.verifiesDue(limit))
	defer timer.Stop()
	for {
		select {
		case slot = <-p.disk.verifySlots:
			atomic.StoreInt64(&p.disk.verifyDue[slot], sinceStart()+int64(limit+p.verifyTakes()))
			return slot, nil
		case <-timer.C:
		}
		wait := p.disk.verifiesDue(limit)
		if wait == 0 {
			return 0, &Error{Op: OpVerify, Partition: p.id, Code: ErrStalled, Path: p.path,
				Message: "the verifies before this one take longer than the stall limit and the size of their logs explain; nothing was changed"}
		}
		timer.Reset(wait)
	}
}

func (p *Partition) leaveVerify(slot int) {
	atomic.StoreInt64(&p.disk.verifyDue[slot], math.MaxInt64)
	p.disk.verifySlots <- slot
}

// verifyTakes is how long reading the log takes on a slow disk.
func (p *Partition) verifyTakes() time.Duration {
	status, err := p.Status()
	if err != nil {
		return 0
	}
	return time.Duration(float64(status.SegmentBytes) / verifySlowest * float64(time.Second))
}

// verifiesDue is how long it is until every slot is overdue, limit at most; 0 if all
// are. One that is free, or was taken a moment ago, never is.
func (d *disk) verifiesDue(limit time.Duration) time.Duration {
	latest := int64(0)
	for slot := range d.verifyDue {
		if due := atomic.LoadInt64(&d.verifyDue[slot]); due > latest {
			latest = due
		}
	}
	switch left := latest - sinceStart(); {
	case left <= 0:
		return 0
	case left < int64(limit):
		return time.Duration(left)
	}
	return limit
}
