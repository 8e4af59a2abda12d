package cubefs

import (
	"errors"
	"fmt"
	"os"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/proto"
)

// existsError has the text of raft's own error, which its callers know.
type existsError struct{ cause error }

func (e *existsError) Error() string { return "raft already exists." }
func (e *existsError) Unwrap() error { return e.cause }

// NewStorage opens the log in dir for raft, or makes it if the directory is
// missing or empty. Only the last component of dir is ever made.
//
// A log that is damaged or on a failing disk is closed again and its fault
// returned, an *bulkhead.Error; so is every other reason. NewStorage never
// panics. The storage must be closed, which raft does when it ends.
func NewStorage(dir string, config *Config) (s *Storage, err error) {
	defer func() {
		// At creation a panic would end the datanode. What is left to panic is
		// the caller's own Registered.
		if r := recover(); r != nil {
			s, err = nil, &bulkhead.Error{Op: bulkhead.OpOpen, Code: bulkhead.ErrPanic, Path: dir, Message: fmt.Sprint(r)}
		}
	}()
	c, err := config.resolve(dir)
	if err != nil {
		return nil, err
	}
	partition, err := openOrReplace(dir, &c)
	if err != nil {
		return nil, err
	}
	s = &Storage{partition: partition, config: c, dir: dir, watcher: watcherOf(c.Engine)}
	if err = s.load(); err != nil {
		if closeErr := partition.Close(); closeErr != nil && !errors.Is(closeErr, bulkhead.ErrClosed) {
			err = fmt.Errorf("%w (and closing it again: %v)", err, closeErr)
		}
		return nil, err
	}
	// Only now: an event of the opening itself must not tell what was returned.
	// What changed since load looked shows in the status.
	s.watcher.add(s)
	s.tellLatched()
	return s, nil
}

// openOrReplace opens the partition; if the directory is open already it does
// what Config.Registered says.
func openOrReplace(dir string, c *Config) (*bulkhead.Partition, error) {
	open := bulkhead.PartitionConfig{Path: dir, ID: c.PartitionID, Mode: c.Mode, KnownIndex: c.AppliedIndex}
	partition, err := c.Engine.OpenPartition(open)
	if c.Registered == nil || !errors.Is(err, bulkhead.ErrAlreadyOpen) {
		return partition, err
	}
	if c.Registered(c.PartitionID) {
		return nil, &existsError{err}
	}
	old := storageIn(dir)
	if old == nil {
		return nil, err
	}
	old.CloseUnused()
	return c.Engine.OpenPartition(open)
}

// storageIn finds the open storage of a directory, whatever its path is now.
func storageIn(dir string) *Storage {
	here, err := os.Stat(dir)
	if err != nil {
		return nil
	}
	watchers.mu.Lock()
	defer watchers.mu.Unlock()
	for _, w := range watchers.of {
		w.mu.Lock()
		for _, s := range w.storages {
			if os.SameFile(here, s.identity) {
				w.mu.Unlock()
				return s
			}
		}
		w.mu.Unlock()
	}
	return nil
}

// load fills in what is answered from memory, and refuses a log that raft
// could not use.
func (s *Storage) load() (err error) {
	if f, ok := latchedFault(s.partition); ok && f.State == bulkhead.StateUnavailable {
		return f.Err // ReadOnly is no obstacle: raft can vote and read
	}
	if s.identity, err = os.Stat(s.dir); err != nil {
		return err
	}
	if err = s.loadBounds(); err != nil {
		return err
	}
	if s.config.TruncateFirstDummy {
		if err = s.truncateFirstDummy(); err != nil {
			return err
		}
	}
	state, err := s.partition.HardState()
	if err != nil {
		return err
	}
	status, err := s.partition.Status()
	if err != nil {
		return err
	}
	s.hard = proto.HardState{Term: state.Term, Vote: state.Vote &^ pendingVote, Commit: state.Commit}
	first, _ := s.FirstIndex() // it never fails
	// TruncateFirstDummy compacts an entry of term 1 in a log without a hard state.
	fresh := s.hard.Term == 0 && status.LastTerm == 1 && s.lastIndex() < first
	if s.hard.Term < status.LastTerm && !fresh {
		// Raft stores entries before their term, and a process may end in between. It has
		// told nobody of a vote in it then; an older term it could not store any more.
		s.hard.Term, s.hard.Vote = status.LastTerm, 0
	}
	s.setPending(state.Vote&pendingVote != 0)
	return nil
}

func (s *Storage) truncateFirstDummy() error {
	if last := s.lastIndex(); last != 0 {
		return &bulkhead.Error{Op: bulkhead.OpReset, Partition: s.config.PartitionID, Code: bulkhead.ErrInvalidConfig,
			First: 1, Last: last, Path: s.dir, Message: "truncate first dummy forbidden: the log is not empty"}
	}
	if err := s.partition.Reset(1, 1); err != nil {
		return err
	}
	return s.loadBounds()
}
