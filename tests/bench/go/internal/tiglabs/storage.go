// Package tiglabs drives anything that serves CubeFS's raft as its storage.
package tiglabs

import (
	"github.com/cubefs/cubefs/depends/tiglabs/raft/proto"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage"
)

const term = 1

// Arm appends through the storage interface as CubeFS's raft loop does.
type Arm struct {
	storage storage.Storage
	// With each append the new commit is stored too, as raft does when a group is busy. It is also
	// the only moment at which CubeFS's WAL syncs, if it is told to sync at all.
	storeCommit bool
	entries     []*proto.Entry // the slice and the entries are reused, as the contract allows
}

// New makes an arm over an open and empty storage.
func New(storage storage.Storage, storeCommit bool) *Arm {
	entries := make([]*proto.Entry, 64)
	for i := range entries {
		entries[i] = &proto.Entry{Type: proto.EntryNormal, Term: term}
	}
	return &Arm{storage: storage, storeCommit: storeCommit, entries: entries}
}

func (a *Arm) Append(firstIndex uint64, batch [][]byte) error {
	for i, payload := range batch {
		a.entries[i].Index, a.entries[i].Data = firstIndex+uint64(i), payload
	}
	if err := a.storage.StoreEntries(a.entries[:len(batch)]); err != nil {
		return err
	}
	if !a.storeCommit {
		return nil
	}
	return a.storage.StoreHardState(proto.HardState{Term: term, Commit: firstIndex + uint64(len(batch)) - 1})
}

func (a *Arm) Compact(index uint64) error { return a.storage.Truncate(index) }

func (a *Arm) Close() error {
	a.storage.Close()
	return nil
}
