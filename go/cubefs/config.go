package cubefs

import (
	"path/filepath"
	"strconv"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
)

// Config is what NewStorage needs to know. A nil *Config and the zero value mean
// the defaults.
type Config struct {
	// PartitionID is kept in the directory and compared on every open. Default:
	// the number the directory's name ends in, as in wal_123.
	PartitionID uint64

	// AppliedIndex is what the state machine has applied and made durable. A log
	// that ends before it is damaged and NewStorage refuses it: raft would
	// silently lower the index and the replica would diverge. Leave it 0 where a
	// snapshot moves the state machine, as on a metanode: a crash during a snapshot
	// legally leaves such a log.
	AppliedIndex uint64

	// SnapshotChangesNothing says that the state machine stays where it is when it
	// is given a snapshot, as a data partition of CubeFS does, so that the log fits
	// it until raft replaces it. See Storage.ApplySnapshot.
	SnapshotChangesNothing bool

	// Mode says when StoreEntries returns. Default: bulkhead.ModeSync.
	Mode bulkhead.Mode

	// TruncateFirstDummy starts an empty log with index 1 of term 1 compacted.
	// As with CubeFS's WAL, a log that is not empty is refused with it.
	TruncateFirstDummy bool

	// OnFault is called when the log meets a fault that ends its raft group, or
	// that makes it refuse writes. See Fault. OnHealed is called when a log whose
	// fault was told takes writes again, unless a call has failed on which raft gives
	// up, OnClosed once when the storage is closed.
	// They are called in the order in which things happened, one at a time, from a
	// goroutine of the storage: one that blocks holds up the next. After OnClosed
	// comes a fault only if a call comes back late, or if raft writes to a storage
	// that was closed as unused.
	OnFault  func(Fault)
	OnHealed func()
	OnClosed func()

	// Registered tells whether a raft group of this id is registered at the
	// raft server. It decides what happens when the directory is open in this
	// process already: a registered group keeps its storage and NewStorage fails
	// with "raft already exists."; the storage of one that is not registered,
	// left behind because the group could not be made, is closed and replaced.
	// Without it NewStorage fails with bulkhead.ErrAlreadyOpen.
	Registered func(partitionID uint64) bool

	// Engine keeps the partition. Default: SharedEngine.
	Engine *bulkhead.Engine
}

// resolve returns a copy with the defaults filled in.
func (c *Config) resolve(dir string) (Config, error) {
	var out Config
	if c != nil {
		out = *c
	}
	if out.PartitionID == 0 {
		id, ok := trailingNumber(filepath.Base(dir))
		if !ok {
			return out, &bulkhead.Error{Op: bulkhead.OpOpen, Code: bulkhead.ErrInvalidConfig, Path: dir,
				Message: "the directory's name does not end in a partition id: set Config.PartitionID"}
		}
		out.PartitionID = id
	}
	if out.Engine == nil {
		engine, err := SharedEngine()
		if err != nil {
			return out, err
		}
		out.Engine = engine
	}
	return out, nil
}

// trailingNumber reads the decimal number that a name ends in. 0 is no id.
func trailingNumber(name string) (uint64, bool) {
	start := len(name)
	for start > 0 && name[start-1] >= '0' && name[start-1] <= '9' {
		start--
	}
	id, err := strconv.ParseUint(name[start:], 10, 64)
	return id, err == nil && id != 0
}
