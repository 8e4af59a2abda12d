package cubefs

import (
	"fmt"
	"sync/atomic"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/proto"
)

// pendingVote is set in the vote that is kept while a snapshot is pending: raft
// has begun to take one, and the state machine may be ahead of the log. It rides
// in the hard state because that is one durable write in every mode, on a full
// disk too, and changes nothing of the log. An export refuses such a log.
//
// Raft sees an empty log until the snapshot is there, as with CubeFS's WAL, which
// deletes it: a leader that has compacted sends the snapshot again.
const pendingVote = 1 << 63

// SnapshotPending tells whether raft sees an empty log because a snapshot was begun
// and has not arrived, see ApplySnapshot. Of a closed storage it tells what was so.
func (s *Storage) SnapshotPending() bool { return atomic.LoadUint32(&s.pending) != 0 }

// setPending is called with writeMu held, or before anybody else has the storage.
func (s *Storage) setPending(pending bool) {
	if !pending {
		atomic.StoreUint32(&s.pending, 0)
		return
	}
	atomic.StoreUint32(&s.pending, 1)
	s.recent.clear()
	s.setBounds(1, 0)
}

// ApplySnapshot empties the log and continues after the snapshot, whose index
// becomes the commit index; term and vote stay.
//
// Raft calls it with an empty meta before the state machine takes a snapshot. From
// then on raft sees an empty log, and so does every later opening, until a
// snapshot has arrived: whether the state machine has taken it cannot be known,
// and the old log does not fit one that has. If the call with the real meta fails,
// that is told as a fault, StateReadOnly at least, and healed by a later snapshot. With
// Config.SnapshotChangesNothing the call with the empty meta does nothing.
//
// Raft ignores the error of the call with the empty meta, and would have the state
// machine go on. So this call panics if it fails: raft recovers that and ends the
// group, as it does after any other write that failed.
func (s *Storage) ApplySnapshot(meta proto.SnapshotMeta) error {
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	if meta.Index == 0 && meta.Term == 0 && len(meta.Peers) == 0 {
		if err := s.awaitSnapshot(); err != nil {
			panic(fmt.Sprintf("a snapshot must not be taken: %v", s.failed(err)))
		}
		return nil
	}
	s.recent.clear()
	pending := s.SnapshotPending()
	err := s.replaceLog(meta, pending)
	if pending {
		s.tellHidden(err)
	}
	return err
}

func (s *Storage) replaceLog(meta proto.SnapshotMeta, pending bool) error {
	if err := s.partition.Reset(meta.Index, meta.Term); err != nil {
		return err
	}
	s.hardMu.Lock()
	s.hard.Commit = meta.Index
	s.hardMu.Unlock()
	if pending {
		if err := s.mark(meta.Term, false); err != nil {
			return err
		}
		s.setPending(false)
	}
	return s.loadBounds()
}

// tellHidden tells whether the snapshot has arrived that a hidden log waits for. One
// that has not, because it ends below what is committed here, say, leaves a log that
// takes no entries, and raft tells nobody.
func (s *Storage) tellHidden(err error) {
	if err == nil {
		s.recovered()
		return
	}
	f, ok := latchedFault(s.partition)
	if !ok {
		f = faultOfCall(err)
		f.State = bulkhead.StateReadOnly
	}
	s.tell(f)
}

// awaitSnapshot hides the log; an empty one, too, which takes no entries from then on.
func (s *Storage) awaitSnapshot() error {
	if s.config.SnapshotChangesNothing || s.SnapshotPending() {
		return nil
	}
	status, err := s.partition.Status()
	if err != nil {
		return err
	}
	if err := s.mark(status.LastTerm, true); err != nil {
		return err
	}
	s.setPending(true)
	return nil
}

// mark keeps the hard state with or without the mark. A hard state is not accepted
// with a term below the last entry's. Raft may not have stored that term yet; then
// it has told nobody of a vote in it.
func (s *Storage) mark(lastTerm uint64, pending bool) error {
	s.hardMu.Lock()
	hard := s.hard
	s.hardMu.Unlock()
	if hard.Term < lastTerm {
		hard.Term, hard.Vote = lastTerm, 0
	}
	return s.keep(hard, pending)
}

// keep stores the hard state.
func (s *Storage) keep(hard proto.HardState, pending bool) error {
	vote := hard.Vote
	if vote&pendingVote != 0 {
		return &bulkhead.Error{Op: bulkhead.OpHardState, Partition: s.config.PartitionID, Code: bulkhead.ErrInvalidArgument, Path: s.dir,
			Message: fmt.Sprintf("vote %d: ids of nodes must be below 2^63", vote)}
	}
	if pending {
		vote |= pendingVote
	}
	err := s.partition.SetHardState(bulkhead.HardState{Term: hard.Term, Vote: vote, Commit: hard.Commit})
	if err != nil {
		return err
	}
	s.hardMu.Lock()
	s.hard = hard
	s.hardMu.Unlock()
	return nil
}

// tooEarly refuses entries while a snapshot is pending. A leader that has not
// compacted sends them from the first on, and CubeFS's WAL lets the state machine
// apply them a second time.
func (s *Storage) tooEarly(entries []*proto.Entry) error {
	if !s.SnapshotPending() {
		return nil
	}
	return &bulkhead.Error{Op: bulkhead.OpAppend, Partition: s.config.PartitionID, Code: bulkhead.ErrCompacted,
		First: entries[0].Index, Last: entries[len(entries)-1].Index, Path: s.dir,
		Message: "a snapshot was begun, and must arrive before entries do: compact the leader's log, which sends it then, and start the group again, or remove the replica and add it anew"}
}
