package node

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/cubefs/cubefs/depends/tiglabs/raft/proto"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage/wal"
)

// Engine names, as given on the command line and printed in the results.
const (
	EngineCubeFS   = "cubefs"
	EngineBulkhead = "bulkhead"
)

// notice is what an engine tells the owner of a partition.
type notice struct {
	cause string
	errno int
	text  string
}

// openFunc opens the WAL of one group. known is an index that the log must reach
// (0: none); onFault is called when the engine reports a fault of this partition.
type openFunc func(dir string, group, known uint64, onFault func(notice)) (storage.Storage, error)

// engines are the WALs under comparison; everything else is the same code for all.
var engines = map[string]openFunc{
	EngineCubeFS:   openCubeFS,
	EngineBulkhead: openBulkhead,
}

// openCubeFS opens CubeFS's own WAL as its raftstore does. It has no way to report
// a fault to anyone but its caller, raft.
func openCubeFS(dir string, _, _ uint64, _ func(notice)) (storage.Storage, error) {
	return wal.NewStorage(dir, &wal.Config{})
}

// walDir is the directory of a group's WAL, laid out as on a datanode. Its parent
// may be a mount point, so that it is made if missing but never replaced.
func walDir(root string, group uint64) (string, error) {
	parent := filepath.Join(root, fmt.Sprintf("datapartition_%d", group))
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return "", err
	}
	return filepath.Join(parent, fmt.Sprintf("wal_%d", group)), nil
}

// observed passes every call on to the engine and notes the first error that raft
// gets to see: the moment from which the time to "owner told" is measured.
type observed struct {
	storage.Storage
	once    sync.Once
	onError func(call string, err error)
}

func (o *observed) note(call string, err error) error {
	if err != nil {
		o.once.Do(func() { o.onError(call, err) })
	}
	return err
}

func (o *observed) StoreEntries(entries []*proto.Entry) error {
	return o.note("StoreEntries", o.Storage.StoreEntries(entries))
}

func (o *observed) StoreHardState(st proto.HardState) error {
	return o.note("StoreHardState", o.Storage.StoreHardState(st))
}

func (o *observed) Entries(lo, hi, maxSize uint64) ([]*proto.Entry, bool, error) {
	entries, compact, err := o.Storage.Entries(lo, hi, maxSize)
	return entries, compact, o.note("Entries", err)
}
