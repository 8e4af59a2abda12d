// Command bulkhead runs the arms of Bulkhead that go through Go: the package itself, and the
// drop-in storage that a CubeFS datanode uses.
package main

import (
	"errors"
	"fmt"
	"path/filepath"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
	"github.com/bulkhead-wal/bulkhead/go/cubefs"
	"github.com/bulkhead-wal/bulkhead/tests/bench/go/internal/harness"
	"github.com/bulkhead-wal/bulkhead/tests/bench/go/internal/tiglabs"
)

func main() { harness.Main(open) }

func open(arm string, workload harness.Workload, dir string) (harness.Arm, error) {
	dir = filepath.Join(dir, "partition_1")
	switch {
	case arm == "bulkhead-go" && workload.Durable:
		return openPartition(dir, bulkhead.ModeSync)
	case arm == "bulkhead" && !workload.Durable:
		return openPartition(dir, bulkhead.ModeNone)
	case arm == "bulkhead-adapter" && !workload.Durable:
		return openAdapter(dir, false)
	case arm == "bulkhead-adapter-commit" && !workload.Durable:
		return openAdapter(dir, true)
	}
	return nil, fmt.Errorf("no arm %s for %s", arm, workload.ID)
}

type partition struct {
	*bulkhead.Partition
	engine  *bulkhead.Engine
	entries []bulkhead.Entry
}

func openPartition(dir string, mode bulkhead.Mode) (harness.Arm, error) {
	engine, err := bulkhead.Open(bulkhead.EngineConfig{})
	if err != nil {
		return nil, err
	}
	opened, err := engine.OpenPartition(bulkhead.PartitionConfig{Path: dir, ID: 1, Mode: mode})
	if err != nil {
		return nil, errors.Join(err, engine.Close())
	}
	return &partition{Partition: opened, engine: engine, entries: make([]bulkhead.Entry, 64)}, nil
}

func (p *partition) Append(firstIndex uint64, batch [][]byte) error {
	for i, payload := range batch {
		p.entries[i] = bulkhead.Entry{Index: firstIndex + uint64(i), Term: 1, Data: payload}
	}
	return p.Partition.Append(p.entries[:len(batch)])
}

func (p *partition) Close() error { return p.engine.Close() }

type adapter struct{ *tiglabs.Arm }

func openAdapter(dir string, storeCommit bool) (harness.Arm, error) {
	storage, err := cubefs.NewStorage(dir, &cubefs.Config{Mode: bulkhead.ModeNone})
	if err != nil {
		return nil, err
	}
	return adapter{tiglabs.New(storage, storeCommit)}, nil
}

func (a adapter) Close() error {
	return errors.Join(a.Arm.Close(), cubefs.CloseSharedEngine())
}
