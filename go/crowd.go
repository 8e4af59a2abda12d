package bulkhead

import (
	"runtime"
	"sync/atomic"
)

// calmAppends is how many appends in a row must have found a disk calm before
// goroutines wait inside the library again.
const calmAppends = 8

// crowd decides for one disk whether a goroutine that appends waits inside the
// library, which is the shortest way to the disk and back, or on a channel.
//
// One that waits inside keeps its processor (Go's P) from all other goroutines
// until Go's monitor takes it away, 20 us to 10 ms later. With as many of them
// as there are processors everybody else stands still while the disk works: 64
// raft groups on two processors did half of what they do on channels. So only
// a few may, in all of the process, and only where there have been no more than
// a few for a while.
type crowd struct {
	few       int32
	inside    *int32 // of all disks
	appending int32  // goroutines in Append
	calm      int32  // appends in a row that found no more than a few
}

// waitInside is how many goroutines of the process wait inside the library.
var waitInside int32

func newCrowd() crowd {
	few := int32(runtime.GOMAXPROCS(0) / 2)
	if few < 1 {
		few = 1
	}
	return crowd{few: few, inside: &waitInside}
}

// enter says whether to wait inside; leave takes what it said.
func (c *crowd) enter() bool {
	if atomic.AddInt32(&c.appending, 1) > c.few {
		atomic.StoreInt32(&c.calm, 0)
		return false
	}
	if atomic.LoadInt32(&c.calm) < calmAppends {
		atomic.AddInt32(&c.calm, 1)
		return false
	}
	if atomic.AddInt32(c.inside, 1) > c.few {
		atomic.AddInt32(c.inside, -1)
		return false
	}
	return true
}

func (c *crowd) leave(inside bool) {
	if inside {
		atomic.AddInt32(c.inside, -1)
	}
	atomic.AddInt32(&c.appending, -1)
}
