// Package factory chooses, for each raft group of a CubeFS server, whether its
// log is kept by CubeFS's own WAL or by Bulkhead. A blank import in the program's
// main is all it takes:
//
//	import _ "github.com/bulkhead-wal/bulkhead/go/cubefs/factory"
//
// together with the one changed line in raftstore (package registry). Without a
// policy nothing changes.
//
// A directory decides for itself: one that is Bulkhead's is opened with Bulkhead,
// and one with a log of CubeFS's WAL with that. Only directories that are empty or
// missing go by the policy.
package factory

import (
	"github.com/bulkhead-wal/bulkhead/go/cubefs"
	"github.com/bulkhead-wal/bulkhead/go/cubefs/registry"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage"
)

func init() { registry.Register(open) }

func open(dir string, group registry.Group, native registry.Native) (storage.Storage, error) {
	policy, err := CurrentPolicy()
	if err != nil {
		return nil, err
	}
	owner, err := inspect(dir)
	if err != nil {
		return nil, err
	}
	if owner == cubefsDirectory || owner == noDirectory && !policy.Selects(group.ID) {
		return native()
	}
	config := &cubefs.Config{PartitionID: group.ID, Mode: modes[policy.Mode], Registered: registeredAt(group.Server)}
	if group.WalPath != "" { // a datanode; on a metanode a log that ends below it is legal after a crash in a snapshot
		config.AppliedIndex = group.Applied
	}
	s, err := cubefs.NewStorage(dir, config)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func registeredAt(server registry.Server) func(uint64) bool {
	return func(id uint64) bool { return !server.IsRestoring(id) }
}
