package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-wal/bulkhead/tests/cluster/internal/build"
)

// What works in a directory of its own below target/cluster, with the targets of the Makefile that do.
var kinds = map[string]string{
	"run":   "make cluster or cluster-stop",
	"demo":  "make cluster-demo or cluster-short",
	"bench": "make cluster-bench",
}

// claim keeps others of a kind away until what it returns is closed, or this process ends, however it does. They would remove each
// other's directories.
func claim(p build.Paths, kind string) (*os.File, error) {
	if err := os.MkdirAll(p.Base, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(p.Base, kind+".lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("another %s works in %s: wait until it has ended", kinds[kind], filepath.Join(p.Base, kind))
		}
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return f, nil
}
