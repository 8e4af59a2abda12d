package supervisor

import (
	"os"
	"path/filepath"

	"github.com/bulkhead-wal/bulkhead/go/cubefs"
	"github.com/cubefs/cubefs/depends/tiglabs/raft"
)

// Direct is the Owner of a group in a program that uses the raft package itself.
type Direct struct {
	Server *raft.RaftServer
	ID     uint64
	Dir    string // of the log
	// Restart opens the log again, with Supervisor.Open, and creates the group.
	Restart func() error
}

// Stop unregisters the group.
func (d *Direct) Stop(cubefs.Fault, int) { _ = d.Server.RemoveRaft(d.ID) } // it returns no error

// Return restarts the group.
func (d *Direct) Return(bool) error { return d.Restart() }

// Gone tells that the directory above the log is not there.
func (d *Direct) Gone() bool {
	_, err := os.Stat(filepath.Dir(d.Dir))
	return os.IsNotExist(err)
}
