// Package registry lets raftstore choose a log storage without knowing the
// choices. It needs no cgo, so that every binary that imports raftstore builds
// as before; one that links a backend (a blank import of package factory, in the
// program's main) gets it.
//
// raftstore's CreatePartition calls NewStorage in place of the function of the
// same name in raft/storage/wal. That is the one line that changes; see
// patch_raftstore.sh.
package registry

import (
	"sync"

	"github.com/cubefs/cubefs/depends/tiglabs/raft"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage/wal"
)

// Group is what raftstore knows of the raft group whose log is opened.
type Group struct {
	ID      uint64
	Applied uint64 // what the state machine has made durable
	// WalPath is set by datanodes only: the partition's directory, in which the
	// log is a subdirectory.
	WalPath      string
	StateMachine raft.StateMachine // on a datanode the *DataPartition
	Server       *raft.RaftServer
}

// Registered tells whether the server has the group, dead or alive. It does not
// wait: it reads the first index from the group's log, which is 1 at least.
// RaftServer.IsRestoring says "not registered" of a group in its first snapshot.
func (g Group) Registered() bool {
	return g.Server != nil && g.Server.FirstCommittedIndex(g.ID) != 0
}

// Native opens CubeFS's own WAL in the directory that NewStorage was called
// with.
type Native func() (storage.Storage, error)

// Backend chooses and opens the log of a group. It must not panic: while a
// partition is created a panic ends the datanode.
type Backend func(dir string, group Group, native Native) (storage.Storage, error)

var registered struct {
	mu      sync.RWMutex
	backend Backend
}

// Register makes all later calls of NewStorage go to a backend. It is called
// when a program starts, and panics if another backend is there already.
func Register(backend Backend) {
	registered.mu.Lock()
	defer registered.mu.Unlock()
	if registered.backend != nil {
		panic("registry: two backends are linked into this program")
	}
	registered.backend = backend
}

// NewStorage opens a group's log with the registered backend, or with CubeFS's
// own WAL if there is none.
func NewStorage(dir string, config *wal.Config, group Group) (storage.Storage, error) {
	native := func() (storage.Storage, error) {
		s, err := wal.NewStorage(dir, config)
		if err != nil {
			return nil, err // not s: a nil *Storage in an interface is not nil
		}
		return s, nil
	}
	registered.mu.RLock()
	backend := registered.backend
	registered.mu.RUnlock()
	if backend == nil {
		return native()
	}
	return backend(dir, group, native)
}
