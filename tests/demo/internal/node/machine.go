package node

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"sync"

	"github.com/cubefs/cubefs/depends/tiglabs/raft"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/proto"
)

// A command is an 8-byte id, a 4-byte CRC of all the rest, and filler: enough to
// tell a command that was lost, doubled or altered on its way through a log.
const commandHeader = 12

func encodeCommand(id uint64, size int) []byte {
	b := make([]byte, size)
	binary.BigEndian.PutUint64(b, id)
	for i := commandHeader; i < size; i++ {
		b[i] = byte(id + uint64(i))
	}
	binary.BigEndian.PutUint32(b[8:], commandSum(b))
	return b
}

func commandSum(b []byte) uint32 {
	return crc32.Update(crc32.ChecksumIEEE(b[:8]), crc32.IEEETable, b[commandHeader:])
}

func decodeCommand(b []byte) (id uint64, ok bool) {
	if len(b) < commandHeader {
		return 0, false
	}
	return binary.BigEndian.Uint64(b), binary.BigEndian.Uint32(b[8:]) == commandSum(b)
}

// machine is the state machine of one replica: it keeps the ids it applied, in order.
type machine struct {
	onFatal func(error)

	mu      sync.Mutex
	ids     []uint64
	index   uint64
	corrupt uint64
}

func (m *machine) Apply(command []byte, index uint64) (interface{}, error) {
	id, ok := decodeCommand(command)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.index = index
	if !ok {
		m.corrupt++
		return nil, errors.New("command damaged")
	}
	m.ids = append(m.ids, id)
	return nil, nil
}

func (m *machine) ApplyMemberChange(_ *proto.ConfChange, index uint64) (interface{}, error) {
	m.mu.Lock()
	m.index = index
	m.mu.Unlock()
	return nil, nil
}

// Snapshots never happen here: the logs are not truncated during the demo.
var errNoSnapshot = errors.New("the demo takes no snapshots")

func (m *machine) Snapshot() (proto.Snapshot, error) { return nil, errNoSnapshot }

func (m *machine) ApplySnapshot([]proto.Peer, proto.SnapIterator) error { return errNoSnapshot }

// HandleFatalEvent is the one way in which raft can tell an owner of a dead group.
func (m *machine) HandleFatalEvent(err *raft.FatalError) { m.onFatal(err.Err) }

func (m *machine) HandleLeaderChange(uint64) {}

func (m *machine) applied() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.index
}

func (m *machine) snapshotIDs() (ids []uint64, corrupt uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]uint64(nil), m.ids...), m.corrupt
}
