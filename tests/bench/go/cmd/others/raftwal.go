package main

import (
	"os"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
)

type raftWAL struct {
	wal  *wal.WAL
	logs []*raft.Log
}

func openRaftWAL(dir string) (*raftWAL, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	log, err := wal.Open(dir, wal.WithLogger(hclog.NewNullLogger()))
	if err != nil {
		return nil, err
	}
	logs := make([]*raft.Log, 64)
	for i := range logs {
		logs[i] = &raft.Log{Term: 1, Type: raft.LogCommand}
	}
	return &raftWAL{wal: log, logs: logs}, nil
}

func (r *raftWAL) Append(firstIndex uint64, batch [][]byte) error {
	for i, payload := range batch {
		r.logs[i].Index, r.logs[i].Data = firstIndex+uint64(i), payload
	}
	return r.wal.StoreLogs(r.logs[:len(batch)])
}

func (r *raftWAL) Compact(index uint64) error {
	first, err := r.wal.FirstIndex()
	if err != nil {
		return err
	}
	return r.wal.DeleteRange(first, index)
}

func (r *raftWAL) Close() error { return r.wal.Close() }
