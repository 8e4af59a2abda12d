// Command others runs the arms that Bulkhead is compared with: etcd's WAL, HashiCorp's raft-wal and CubeFS's WAL.
package main

import (
	"fmt"
	"path/filepath"

	"github.com/bulkhead-wal/bulkhead/tests/bench/go/internal/harness"
	"github.com/bulkhead-wal/bulkhead/tests/bench/go/internal/tiglabs"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/logger"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage/wal"
)

func main() { harness.Main(open) }

func open(arm string, workload harness.Workload, dir string) (harness.Arm, error) {
	switch {
	case arm == "etcd" && workload.Durable:
		return openEtcd(filepath.Join(dir, "etcd"))
	case arm == "raft-wal" && workload.Durable:
		return openRaftWAL(filepath.Join(dir, "raft-wal"))
	case arm == "cubefs":
		return openCubeFS(filepath.Join(dir, "cubefs"), workload.Durable, workload.Durable)
	case arm == "cubefs-commit" && !workload.Durable:
		return openCubeFS(filepath.Join(dir, "cubefs"), false, true)
	}
	return nil, fmt.Errorf("no arm %s for %s", arm, workload.ID)
}

// openCubeFS opens CubeFS's WAL: not synced as CubeFS ships it, or synced with each new commit.
func openCubeFS(dir string, sync, storeCommit bool) (harness.Arm, error) {
	logger.SetLogger(quiet{})
	storage, err := wal.NewStorage(dir, &wal.Config{Sync: sync})
	if err != nil {
		return nil, err
	}
	return tiglabs.New(storage, storeCommit), nil
}

// quiet drops what CubeFS's raft would log to standard output.
type quiet struct{}

func (quiet) IsEnableDebug() bool                   { return false }
func (quiet) IsEnableInfo() bool                    { return false }
func (quiet) IsEnableWarn() bool                    { return false }
func (quiet) Debug(format string, v ...interface{}) {}
func (quiet) Info(format string, v ...interface{})  {}
func (quiet) Warn(format string, v ...interface{})  {}
func (quiet) Error(format string, v ...interface{}) {}
