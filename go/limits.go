package bulkhead

// #include "shim.h"
import "C"

import (
	"math"
	"os"
	"syscall"
	"time"
	"unsafe"
)

// Limit names a limit that can be changed while the engine runs. Its String is
// the name it has everywhere, such as heal_limit_ms.
type Limit uint32

// What they are, and their ranges, stands at EngineConfig. Each holds from the
// next look at it on, also for what is open.
const (
	LimitMaxEntryBytes       Limit = 1
	LimitSegmentMinBytes     Limit = 2 // of segments that are begun from now on
	LimitSegmentMaxBytes     Limit = 3 // one that was set elsewhere and is below the smallest counts as that
	LimitIntervalMs          Limit = 4
	LimitStallLimitMs        Limit = 5  // a wait under way keeps its end
	LimitSlowDiskMs          Limit = 6  // may be LimitNever
	LimitFlushThreadsPerDisk Limit = 7  // of the engine or a disk
	LimitHealLimitMs         Limit = 8  // may be LimitNever
	LimitSpaceWaitMs         Limit = 9  // may be LimitNever
	LimitProbeMs             Limit = 10 // may be LimitNever; a probe that is planned stays planned
	LimitReadCacheBytes      Limit = 11 // of the engine; what is too much is given up at once
	LimitIdleCheckMs         Limit = 12 // of the engine or a disk; may be LimitNever
)

const (
	// LimitNever switches a limit off that may be.
	LimitNever uint64 = math.MaxUint32
	// LimitInherit takes back what was set.
	LimitInherit uint64 = math.MaxUint64
)

// limitsMost is more than any version of the library has.
const limitsMost = 64

// String returns the limit's name.
func (l Limit) String() string {
	if name := C.bulkhead_limit_name(C.uint32_t(l)); name != nil {
		return C.GoString(name)
	}
	return "unknown(" + itoa(int64(l)) + ")"
}

// LimitByName returns the limit with this name, 0 if there is none.
func LimitByName(name string) Limit {
	for l := Limit(1); C.bulkhead_limit_name(C.uint32_t(l)) != nil; l++ {
		if l.String() == name {
			return l
		}
	}
	return 0
}

// Scope is what a limit is set for.
type Scope uint32

const (
	ScopeOpen      Scope = 1 // what the engine was opened with
	ScopeEngine    Scope = 2
	ScopeDisk      Scope = 3
	ScopePartition Scope = 4
)

var scopeNames = []string{"unknown", "open", "engine", "disk", "partition"}

func (s Scope) String() string { return name(scopeNames, uint32(s)) }

// LimitChange is a new value of a limit.
type LimitChange struct {
	Limit Limit
	Value uint64 // in the unit of its name, LimitNever or LimitInherit
}

// LimitInForce is what is in force somewhere.
type LimitInForce struct {
	Limit     Limit
	Value     uint64 // in the unit of its name, or LimitNever
	SetFor    Scope
	Low, High uint64 // the range of values; Low is 0 where it may be LimitNever
}

// LimitChanged is what setting limits made of one of them.
type LimitChanged struct {
	Limit         Limit
	ChangedFor    Scope  // the engine, a disk or a partition
	Device        uint64 // of a disk, otherwise 0
	Before, After uint64 // in force there, in the unit of its name, or LimitNever
	SetFor        Scope  // what the value after was set for: something wider if one was taken back
}

// Disk is a device with partitions on it.
type Disk struct {
	Device     uint64 // st_dev of what is on it
	Mount      string // where it is mounted
	Partitions int    // open ones
}

// SetLimits changes limits of the engine, all of them or none. They hold for all
// that has nothing of its own set for its disk or for itself. A value out of its
// range is ErrInvalidConfig, and the message has the range; ErrInvalidArgument is
// an unknown limit, or one that is given twice. An event with OpSetLimits follows.
func (e *Engine) SetLimits(changes ...LimitChange) error {
	c := limitsToC(changes)
	return takeError(C.bh_engine_set_limits(e.handle, limitsPointer(c), C.size_t(len(c))))
}

// Limits returns what is in force for all of the engine that has nothing of its
// own.
func (e *Engine) Limits() ([]LimitInForce, error) {
	var out [limitsMost]C.bulkhead_limit
	r := C.bh_engine_get_limits(e.handle, &out[0], limitsMost)
	return limitsInForce(out[:], r)
}

// SetDiskLimits changes limits of a disk, which need not have partitions yet.
// device is the st_dev of any file on it: see DeviceOf, and Disks. The disk is not
// touched. ErrInvalidArgument is also a limit that only the engine has.
func (e *Engine) SetDiskLimits(device uint64, changes ...LimitChange) error {
	c := limitsToC(changes)
	return takeError(C.bh_disk_set_limits(e.handle, C.uint64_t(device), limitsPointer(c), C.size_t(len(c))))
}

// DiskLimits returns what is in force for the partitions of a disk that have
// nothing of their own.
func (e *Engine) DiskLimits(device uint64) ([]LimitInForce, error) {
	var out [limitsMost]C.bulkhead_limit
	r := C.bh_disk_get_limits(e.handle, C.uint64_t(device), &out[0], limitsMost)
	return limitsInForce(out[:], r)
}

// SetLimits changes limits of the partition until it is closed.
// ErrInvalidArgument is also a limit that a partition cannot have of its own.
func (p *Partition) SetLimits(changes ...LimitChange) error {
	maybeGC()
	c := limitsToC(changes)
	return takeError(C.bh_set_limits(p.handle, limitsPointer(c), C.size_t(len(c))))
}

// Limits returns what is in force for the partition.
func (p *Partition) Limits() ([]LimitInForce, error) {
	maybeGC()
	var out [limitsMost]C.bulkhead_limit
	r := C.bh_get_limits(p.handle, &out[0], limitsMost)
	return limitsInForce(out[:], r)
}

// stallLimit is what is in force, for who waits on this side.
func (p *Partition) stallLimit() time.Duration {
	limits, _ := p.Limits() // none of a partition that is closed
	for _, l := range limits {
		if l.Limit == LimitStallLimitMs {
			return time.Duration(l.Value) * time.Millisecond
		}
	}
	return defaultStallLimit
}

// DeviceOf returns the device number of the disk that a file or directory is on.
// It waits for the disk.
func DeviceOf(path string) (uint64, error) {
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		return 0, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return uint64(st.Dev), nil
}

// Disks returns the disks that the engine has or had partitions on, in the order
// of their device numbers.
func (e *Engine) Disks() ([]Disk, error) {
	room := 16
	for {
		c := make([]C.bulkhead_disk, room)
		r := C.bh_engine_disks(e.handle, &c[0], C.size_t(room))
		if r.err != nil {
			return nil, takeError(r.err)
		}
		if int(r.value) == room {
			room *= 4
			continue // there may be more
		}
		out := make([]Disk, 0, r.value)
		for i := range c[:r.value] {
			mount := boundedString(unsafe.Pointer(&c[i].mount[0]), len(c[i].mount))
			out = append(out, Disk{Device: uint64(c[i].device), Mount: mount, Partitions: int(c[i].partitions)})
		}
		return out, nil
	}
}

func (e *Engine) eventLimits(sequence uint64) []LimitChanged {
	var c [limitsMost]C.bulkhead_limit_changed
	n := C.bh_event_limits(e.handle, C.uint64_t(sequence), &c[0], limitsMost)
	out := make([]LimitChanged, 0, n)
	for _, l := range c[:n] {
		out = append(out, LimitChanged{Limit(l.limit), Scope(l.changed_for), uint64(l.device), uint64(l.before), uint64(l.after), Scope(l.set_for)})
	}
	return out
}

// joinLimits makes one of two changes: from what was before the first.
func joinLimits(first, second []LimitChanged) []LimitChanged {
	out := append([]LimitChanged(nil), first...)
next:
	for _, change := range second {
		for i := range out {
			if out[i].Limit == change.Limit {
				change.Before = out[i].Before
				out[i] = change
				continue next
			}
		}
		out = append(out, change)
	}
	return out
}

func limitsToC(changes []LimitChange) []C.bulkhead_limit {
	out := make([]C.bulkhead_limit, len(changes))
	for i, change := range changes {
		out[i].limit, out[i].value = C.uint32_t(change.Limit), C.uint64_t(change.Value)
	}
	return out
}

func limitsPointer(limits []C.bulkhead_limit) *C.bulkhead_limit {
	if len(limits) == 0 {
		return nil
	}
	return &limits[0]
}

func limitsInForce(c []C.bulkhead_limit, r C.bh_value) ([]LimitInForce, error) {
	if r.err != nil {
		return nil, takeError(r.err)
	}
	out := make([]LimitInForce, 0, r.value)
	for _, l := range c[:r.value] {
		out = append(out, LimitInForce{Limit(l.limit), uint64(l.value), Scope(l.set_for), uint64(l.low), uint64(l.high)})
	}
	return out, nil
}
