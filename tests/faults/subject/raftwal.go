package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftwal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/metadb"
)

// HashiCorp's raft-wal, durable at every append. The hard state is one value in its stable store.
//
// After an error hashicorp/raft steps down and goes on with the same store.
var raftWALKind = systemKind{"raft-wal", "v0.4.2", []string{"sync"}, newRaftWAL}

// It preallocates its segments; the default of 64 MiB does not fit the small disks of the scenarios.
const raftWALSegmentBytes = 8 << 20

var stableKey = []byte("hard state")

type raftWALSystem struct{ noEvents }

func newRaftWAL(string, limits) (system, error) { return raftWALSystem{}, nil }

func (raftWALSystem) healsItself() bool { return false }

func (raftWALSystem) typed(err error) string {
	for name, sentinel := range map[string]error{
		"ErrNotFound": raftwal.ErrNotFound, "ErrCorrupt": raftwal.ErrCorrupt, "ErrSealed": raftwal.ErrSealed,
		"ErrClosed": raftwal.ErrClosed,
	} {
		if errors.Is(err, sentinel) {
			return name
		}
	}
	return ""
}

func (raftWALSystem) open(_ uint64, dir string, _ uint64) (logStore, error) {
	dir = filepath.Join(dir, "wal")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	// The default meta store, but one that can be closed if the open fails: otherwise a second open in the process would
	// wait for its lock for ever.
	meta := &metadb.BoltMetaDB{}
	log, err := raftwal.Open(dir, raftwal.WithSegmentSize(raftWALSegmentBytes), raftwal.WithMetaStore(meta),
		raftwal.WithLogger(hclog.New(&hclog.LoggerOptions{Output: os.Stderr, Level: hclog.Warn})))
	if err != nil {
		return nil, errors.Join(err, meta.Close())
	}
	return &raftWALLog{log}, nil
}

type raftWALLog struct{ wal *raftwal.WAL }

func (l *raftWALLog) append(entries []entry) error {
	last, err := l.wal.LastIndex()
	if err != nil {
		return err
	}
	if last != 0 && entries[0].index <= last {
		// hashicorp/raft removes a conflicting suffix before it appends.
		if err := l.wal.DeleteRange(entries[0].index, last); err != nil {
			return err
		}
	}
	logs := make([]*raft.Log, len(entries))
	for i, e := range entries {
		logs[i] = &raft.Log{Type: raft.LogCommand, Term: e.term, Index: e.index, Data: e.data}
	}
	return l.wal.StoreLogs(logs)
}

func (l *raftWALLog) read(lo, hi uint64) ([]entry, error) {
	from, to, ok, err := clip(l, lo, hi)
	if !ok {
		return nil, err
	}
	var entries []entry
	for index := from; index <= to; index++ {
		var log raft.Log
		if err := l.wal.GetLog(index, &log); err != nil {
			return entries, err
		}
		entries = append(entries, entry{log.Index, log.Term, log.Data})
	}
	return entries, nil
}

func (l *raftWALLog) setHardState(state hardState) error {
	value := make([]byte, 24)
	for i, n := range []uint64{state.term, state.vote, state.commit} {
		binary.LittleEndian.PutUint64(value[8*i:], n)
	}
	return l.wal.Set(stableKey, value)
}

func (l *raftWALLog) hardState() (hardState, error) {
	value, err := l.wal.Get(stableKey)
	if err != nil || len(value) == 0 {
		return hardState{}, err
	}
	if len(value) != 24 {
		return hardState{}, fmt.Errorf("the hard state has %d bytes, not 24", len(value))
	}
	number := func(i int) uint64 { return binary.LittleEndian.Uint64(value[8*i:]) }
	return hardState{number(0), number(1), number(2)}, nil
}

func (l *raftWALLog) compact(index uint64) error {
	first, err := l.wal.FirstIndex()
	if err != nil {
		return err
	}
	return l.wal.DeleteRange(first, index)
}

// bounds of an empty log are 1, 0: raft-wal does not keep where a compacted log ended.
func (l *raftWALLog) bounds() (first, last uint64, err error) {
	if first, err = l.wal.FirstIndex(); err != nil {
		return 0, 0, err
	}
	last, err = l.wal.LastIndex()
	return max(first, 1), last, err
}

// sync has nothing to do: every append is durable.
func (l *raftWALLog) sync() error { return nil }

func (l *raftWALLog) close() error { return l.wal.Close() }
