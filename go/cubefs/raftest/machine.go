package raftest

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"sync"

	"github.com/cubefs/cubefs/depends/tiglabs/raft"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/proto"
)

// Digest is all a machine knows: replicas that applied the same commands in the
// same order have the same.
type Digest struct {
	Applied  uint64 // index of the last command or configuration change
	Commands uint64
	Hash     uint64
}

// Machine is a state machine of one group on one node. It is durable only as far
// as Persist was called, as a datanode's partition is: what lies behind that is
// applied again from the log.
type Machine struct {
	mu        sync.Mutex
	digest    Digest
	persisted Digest
	leader    uint64
	snapshots int
	fatal     int
}

// Apply is called by raft for each committed command.
func (m *Machine) Apply(command []byte, index uint64) (interface{}, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := fnv.New64a()
	var head [16]byte
	binary.BigEndian.PutUint64(head[:], m.digest.Hash)
	binary.BigEndian.PutUint64(head[8:], index)
	_, _ = h.Write(head[:]) // a hash.Hash never fails
	_, _ = h.Write(command)
	m.digest = Digest{Applied: index, Commands: m.digest.Commands + 1, Hash: h.Sum64()}
	return m.digest.Commands, nil
}

// ApplyMemberChange is called by raft for each committed configuration change.
func (m *Machine) ApplyMemberChange(_ *proto.ConfChange, index uint64) (interface{}, error) {
	m.mu.Lock()
	m.digest.Applied = index
	m.mu.Unlock()
	return nil, nil
}

// snapshot is a Digest on its way.
type snapshot struct {
	digest Digest
	sent   bool
}

const digestBytes = 24

func (s *snapshot) Next() ([]byte, error) {
	if s.sent {
		return nil, io.EOF
	}
	s.sent = true
	b := make([]byte, digestBytes)
	binary.BigEndian.PutUint64(b, s.digest.Applied)
	binary.BigEndian.PutUint64(b[8:], s.digest.Commands)
	binary.BigEndian.PutUint64(b[16:], s.digest.Hash)
	return b, nil
}

func (s *snapshot) ApplyIndex() uint64 { return s.digest.Applied }
func (s *snapshot) Close()             {}

// Snapshot is called by the leader's raft for a follower that lags too far.
func (m *Machine) Snapshot() (proto.Snapshot, error) {
	return &snapshot{digest: m.Digest()}, nil
}

// ApplySnapshot is called by the follower's raft.
func (m *Machine) ApplySnapshot(_ []proto.Peer, iter proto.SnapIterator) error {
	b, err := iter.Next()
	if err != nil {
		return err
	}
	if len(b) != digestBytes {
		return fmt.Errorf("a snapshot of %d bytes", len(b))
	}
	m.mu.Lock()
	m.digest = Digest{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[16:])}
	m.persisted = m.digest
	m.snapshots++
	m.mu.Unlock()
	if _, err = iter.Next(); err != io.EOF {
		return fmt.Errorf("the snapshot does not end: %v", err)
	}
	return nil
}

// HandleFatalEvent is what raft would call, and since v3.4.0 does not.
func (m *Machine) HandleFatalEvent(*raft.FatalError) {
	m.mu.Lock()
	m.fatal++
	m.mu.Unlock()
}

// Fatal returns how often HandleFatalEvent was called.
func (m *Machine) Fatal() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.fatal
}

// HandleLeaderChange is called by raft when the group's leader changes.
func (m *Machine) HandleLeaderChange(leader uint64) {
	m.mu.Lock()
	m.leader = leader
	m.mu.Unlock()
}

// Digest returns what was applied.
func (m *Machine) Digest() Digest {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.digest
}

// Snapshots returns how many snapshots were received.
func (m *Machine) Snapshots() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.snapshots
}

// Persist makes what was applied survive a restart.
func (m *Machine) Persist() {
	m.mu.Lock()
	m.persisted = m.digest
	m.mu.Unlock()
}

// restart falls back to what was persisted and returns its index.
func (m *Machine) restart() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.digest = m.persisted
	return m.digest.Applied
}
