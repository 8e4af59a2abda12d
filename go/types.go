package bulkhead

import (
	"syscall"
	"time"
)

// Mode says when an append is acknowledged.
type Mode uint32

const (
	// ModeDefault is ModeSync.
	ModeDefault Mode = 0
	// ModeNone acknowledges from the page cache: it survives a crash of the
	// process, not of the machine. A write runs on the caller's thread, so that
	// a hung disk holds the caller.
	ModeNone Mode = 1
	// ModeSync acknowledges when the entries are durable.
	ModeSync Mode = 2
	// ModeInterval acknowledges from memory and flushes every
	// EngineConfig.Interval.
	ModeInterval Mode = 3
)

// Disposition says how OpenPartition treats its directory.
type Disposition uint32

const (
	// OpenOrCreate makes the last component of the path if it is missing.
	OpenOrCreate Disposition = 0
	// OpenExisting fails with ErrNotFound if there is no log.
	OpenExisting Disposition = 1
	// CreateNew fails with ErrAlreadyExists if there is one.
	CreateNew Disposition = 2
)

// State is the health of a partition, in CubeFS's own words.
type State uint32

const (
	StateReadWrite   State = 1
	StateReadOnly    State = 2 // no space: reads, votes and compaction work; ReadWrite by itself when space returns
	StateUnavailable State = 3 // writes are refused with the first error until a probe or Recover has brought it back
	StateRecovering  State = 4
	StateClosed      State = 5
)

// Cause says why a partition is not ReadWrite, or what its owner is warned of.
type Cause uint32

const (
	CauseNone               Cause = 0
	CauseNoSpace            Cause = 1
	CauseIOError            Cause = 2
	CauseReadOnlyFilesystem Cause = 3
	CauseStalled            Cause = 4
	CausePanic              Cause = 5
	CauseDamage             Cause = 6
	CauseResource           Cause = 7
	CauseLostEntries        Cause = 8
	// Warnings, in an event of the first open on a disk.
	CauseUntestedFilesystem Cause = 9  // the project does not test it
	CauseVolatileFilesystem Cause = 10 // tmpfs or ramfs: a power cut takes everything
	// CauseFenced: taken out of service by Partition.Fence.
	CauseFenced Cause = 11
)

// Op is the operation an error or an event names.
type Op uint32

const (
	OpNone      Op = 0
	OpOpen      Op = 1
	OpAppend    Op = 2
	OpRead      Op = 3
	OpCompact   Op = 4
	OpReset     Op = 5
	OpHardState Op = 6
	OpSync      Op = 7
	OpRecover   Op = 8
	OpVerify    Op = 9
	OpClose     Op = 10
	OpAllocate  Op = 11
	OpStatus    Op = 12
	OpImport    Op = 13
	OpExport    Op = 14
	OpFence     Op = 15
	OpSetLimits Op = 16
)

var (
	modeNames  = []string{"sync", "none", "sync", "interval"}
	stateNames = []string{"unknown", "ReadWrite", "ReadOnly", "Unavailable", "Recovering", "Closed"}
	causeNames = []string{"none", "no space", "I/O error", "read-only filesystem", "stalled", "panic", "damage", "resource", "lost entries", "untested filesystem", "volatile filesystem", "fenced"}
	opNames    = []string{"none", "open", "append", "read", "compact", "reset", "hard state", "sync", "recover", "verify", "close", "allocate", "status", "import", "export", "fence", "set limits"}
)

func name(names []string, n uint32) string {
	if int(n) < len(names) {
		return names[n]
	}
	return "unknown(" + itoa(int64(n)) + ")"
}

func (m Mode) String() string  { return name(modeNames, uint32(m)) }
func (s State) String() string { return name(stateNames, uint32(s)) }
func (c Cause) String() string { return name(causeNames, uint32(c)) }
func (o Op) String() string    { return name(opNames, uint32(o)) }

// Entry is one record of the log. Data that is appended is borrowed for the
// call; Data that was read belongs to the caller and shares one buffer with the
// other entries of the same read.
type Entry struct {
	Index uint64
	Term  uint64
	Kind  uint8 // the owner's entry type
	Data  []byte
}

// HardState is what raft must never forget. A change of Term or Vote is durable
// when SetHardState returns, in every mode; a change of Commit alone rides with
// the next write.
type HardState struct {
	Term   uint64
	Vote   uint64
	Commit uint64
}

// Range is a range of indexes, both ends included; 0, 0 is none.
type Range struct {
	First uint64
	Last  uint64
}

// Status is what a partition knows about itself.
type Status struct {
	PartitionID uint64
	State       State
	Cause       Cause
	Mode        Mode
	Errno       syscall.Errno // of the first failure
	Op          Op            // of the first failure

	FirstIndex      uint64 // CompactionIndex + 1
	LastIndex       uint64 // the last entry, or the compaction point
	LastTerm        uint64
	CompactionIndex uint64
	CompactionTerm  uint64
	HardState       HardState // Term and Vote are 0 where Partition.HardState refuses
	DurableIndex    uint64    // entries up to here are known to be durable

	Segments     uint64
	SegmentBytes uint64
	KeptBytes    uint64 // in kept/: what recovery cut or repair replaced

	Damaged           Range // reads of it fail
	DamagedEntries    uint64
	Lost              Range // acknowledged and missing
	MaybeAcknowledged Range // cut by the last open: a last flush that may have been acknowledged
	Unsynced          Range // modes none and interval: what a power cut before the last open may have cost

	// Counters since the partition was opened.
	Appends uint64
	Entries uint64
	Bytes   uint64
	Flushes uint64
	Errors  uint64
	Heals   uint64 // faults that were healed, inside a call or after it
	// SlowOperations counts system calls that took longer than EngineConfig.SlowDisk.
	SlowOperations uint64

	Incarnation [16]byte // of the directory, random, given when it was created
	Epoch       [16]byte // of this opening, random
}

// VerifyReport is what a full check of a partition's segments found.
type VerifyReport struct {
	Segments   uint64
	Entries    uint64
	Bytes      uint64
	BadRecords uint64
	Bad        Range
}

// Event is a change of a partition's state. A slow reader may see several
// changes of one partition merged into its latest state, never lost.
//
// From equals To if the state did not change: a fault that is being healed
// inside a call, with its Cause; that it is healed, with CauseNone and OpRecover;
// a read that met damage. In mode none, where the call heals on its own thread,
// such a fault is a change of state and one back. Limits that were set are an event
// with OpSetLimits, and say which, from what to what; Partition is nil and PartitionID 0 if they are the engine's or a
// disk's.
//
// What an open meets is told when it has returned, of an open that takes longer after
// a second; Partition is nil then, and where the open has failed.
type Event struct {
	Sequence    uint64
	Partition   *Partition // nil if it was closed before the event was delivered
	PartitionID uint64
	Time        time.Time
	From        State
	To          State
	Cause       Cause
	Op          Op
	Errno       syscall.Errno
	Merged      uint32         // further changes merged into this one
	Range       Range          // indexes concerned
	Limits      []LimitChanged // of OpSetLimits: what was changed
}

// EngineConfig holds the limits of an engine. A zero value means the default. They
// can be changed later: Engine.SetLimits.
type EngineConfig struct {
	MaxEntryBytes       uint32        // 1 .. 64 MiB, default 16 MiB
	SegmentMinBytes     uint32        // default 256 KiB
	SegmentMaxBytes     uint32        // up to 1 GiB, default 32 MiB
	Interval            time.Duration // of ModeInterval: 1 ms .. 60 s, default 50 ms
	StallLimit          time.Duration // 100 ms .. 10 min, default 5 s
	SlowDisk            time.Duration // a system call that takes longer makes an event: up to 10 min or Never, default 500 ms
	FlushThreadsPerDisk uint32        // 1 .. 64, default 8
	ReadCacheBytes      uint64        // default 64 MiB

	// Limits of healing; each may be Never.
	HealLimit time.Duration // a transient error or a bad block is healed inside the call within this time: up to 60 s, default 300 ms
	SpaceWait time.Duration // an append that finds the disk full waits this long for space: up to 60 s, default 500 ms
	// Probe is the time from a fault to the first try to bring the partition
	// back. A ReadOnly one is tried again and again; for an Unavailable one the
	// time doubles, up to 256 times as long. Up to 60 s, default 250 ms.
	Probe time.Duration

	// IdleCheck is how often a disk on which nothing is flushed is written to, one
	// block into one idle partition's open segment (ModeSync and ModeInterval), so
	// that its death is known before somebody needs it. Where that or anything else
	// meets an I/O error, others of the disk look at once. Up to 60 s or Never, default 250 ms.
	IdleCheck time.Duration
}

// Never switches a limit of EngineConfig off.
const Never time.Duration = -1

// PartitionConfig says which partition to open, and how.
type PartitionConfig struct {
	Path        string // the directory; only its last component is ever made
	ID          uint64 // partition id, kept in the directory and compared on every open
	Mode        Mode
	Disposition Disposition
	// KnownIndex is an index that the owner knows to be in the log or below its
	// compaction point (what it has applied); 0 if it knows none. A log that
	// ends before it is damaged.
	KnownIndex uint64
}
