package main

import (
	"os"
	"path/filepath"

	"github.com/bulkhead-wal/bulkhead/tests/cluster/internal/bench"
	"github.com/bulkhead-wal/bulkhead/tests/cluster/internal/build"
	"github.com/bulkhead-wal/bulkhead/tests/cluster/internal/cluster"
)

const commandArm = "arm"

func runBench(p build.Paths, arguments []string) error {
	if err := prepare(p); err != nil {
		return err
	}
	defer os.RemoveAll(filepath.Join(p.Base, "bench"))
	command := func(c cluster.Choice) []string {
		return append(append([]string(nil), arguments...), commandArm, c.Engine, c.Mode)
	}
	return bench.Run(command, filepath.Join(p.Base, "bench.json"))
}
