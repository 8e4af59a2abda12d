package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/bulkhead-wal/bulkhead/tests/cluster/internal/bench"
	"github.com/bulkhead-wal/bulkhead/tests/cluster/internal/build"
	"github.com/bulkhead-wal/bulkhead/tests/cluster/internal/cluster"
)

const commandArm = "arm"

func runBench(p build.Paths, arguments []string) error {
	writers, err := strconv.Atoi(env("WRITERS", "8"))
	if err != nil || writers < 1 || writers > bench.WritersMost {
		return fmt.Errorf("WRITERS=%s: give a number from 1 to %d", os.Getenv("WRITERS"), bench.WritersMost)
	}
	lock, err := claim(p, "bench")
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := prepare(p); err != nil {
		return err
	}
	if err := build.SyncedServer(p, func(what string) { fmt.Println("building:", what) }); err != nil {
		return err
	}
	dir := filepath.Join(p.Base, "bench")
	if err := os.RemoveAll(dir); err != nil { // what one that was killed has left
		return err
	}
	defer os.RemoveAll(dir)
	command := func(c cluster.Choice) []string {
		return append(append([]string(nil), arguments...), commandArm, strconv.Itoa(writers), c.Engine, c.Mode)
	}
	return bench.Run(command, writers, filepath.Join(p.Base, "bench.json"))
}
