package main

import (
	"math"
	"path/filepath"

	"github.com/cubefs/cubefs/depends/tiglabs/raft/proto"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage/wal"
)

// CubeFS's WAL, release v3.4.0 (its Go module is numbered v1.34.0).
//
// Mode none is as CubeFS ships it (raftstore passes an empty Config): nothing is synced on append. Mode sync is its
// setting Sync; it syncs when a new commit is stored, so that an append is acknowledged after StoreHardState with a
// commit at its last entry, as raft does under load.
//
// After an error CubeFS's raft closes the storage and does not use it again.
var cubefsKind = systemKind{"cubefs", "v3.4.0 (module v1.34.0)", []string{"none", "sync"}, newCubeFS}

type cubefsSystem struct {
	noEvents
	config wal.Config
}

func newCubeFS(mode string, limits limits) (system, error) {
	return &cubefsSystem{config: wal.Config{Sync: mode == "sync", FileSize: limits.fileBytes}}, nil
}

func (s *cubefsSystem) healsItself() bool { return false }

func (s *cubefsSystem) typed(err error) string {
	if wal.IsErrCorrupt(err) {
		return "ErrCorrupt"
	}
	return ""
}

func (s *cubefsSystem) open(_ uint64, dir string, _ uint64) (logStore, error) {
	storage, err := wal.NewStorage(filepath.Join(dir, "wal"), &s.config)
	if err != nil {
		return nil, err
	}
	return &cubefsLog{storage, s.config.Sync}, nil
}

type cubefsLog struct {
	storage *wal.Storage
	durable bool
}

func (l *cubefsLog) append(entries []entry) error {
	batch := make([]*proto.Entry, len(entries))
	for i, e := range entries {
		batch[i] = &proto.Entry{Type: proto.EntryNormal, Term: e.term, Index: e.index, Data: e.data}
	}
	if err := l.storage.StoreEntries(batch); err != nil {
		return err
	}
	if !l.durable {
		return nil
	}
	state, err := l.storage.InitialState()
	if err != nil {
		return err
	}
	state.Term, state.Commit = max(state.Term, entries[0].term), entries[len(entries)-1].index
	return l.storage.StoreHardState(state)
}

func (l *cubefsLog) read(lo, hi uint64) ([]entry, error) {
	from, to, ok, err := clip(l, lo, hi)
	if !ok {
		return nil, err
	}
	found, _, err := l.storage.Entries(from, to+1, math.MaxUint32)
	entries := make([]entry, len(found))
	for i, e := range found {
		entries[i] = entry{e.Index, e.Term, e.Data}
	}
	return entries, err
}

// setHardState never takes the commit back, as raft does not: append has stored one that the runner does not know of.
func (l *cubefsLog) setHardState(state hardState) error {
	stored, err := l.storage.InitialState()
	if err != nil {
		return err
	}
	commit := max(state.commit, stored.Commit)
	return l.storage.StoreHardState(proto.HardState{Term: state.term, Vote: state.vote, Commit: commit})
}

func (l *cubefsLog) hardState() (hardState, error) {
	state, err := l.storage.InitialState()
	return hardState{state.Term, state.Vote, state.Commit}, err
}

func (l *cubefsLog) compact(index uint64) error { return l.storage.Truncate(index) }

func (l *cubefsLog) bounds() (first, last uint64, err error) {
	if first, err = l.storage.FirstIndex(); err != nil {
		return 0, 0, err
	}
	last, err = l.storage.LastIndex()
	return first, last, err
}

// sync: an append in mode sync is durable already; as shipped there is no way to make it so.
func (l *cubefsLog) sync() error {
	if l.durable {
		return nil
	}
	return errUnsupported
}

func (l *cubefsLog) close() error {
	l.storage.Close()
	return nil
}
