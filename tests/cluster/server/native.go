//go:build native

package main

import (
	"github.com/bulkhead-wal/bulkhead/go/cubefs/registry"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage/wal"
)

// The benchmark's server with CubeFS's own log synced. The log has that option, and raftstore does not set it.
func init() {
	registry.Register(func(dir string, _ registry.Group, _ registry.Native) (storage.Storage, error) {
		s, err := wal.NewStorage(dir, &wal.Config{Sync: true})
		if err != nil {
			return nil, err // not s: a nil *Storage in an interface is not nil
		}
		return s, nil
	})
}
