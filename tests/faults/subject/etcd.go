package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/fileutil"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
)

// etcd's WAL, driven as etcd's server does: opened at the newest valid snapshot record, read to its end, repaired once
// if it ends in a torn record. A compaction is a snapshot record. Between opens etcd reads entries from memory; here a
// read opens the files for reading, which its documentation allows beside the writer.
//
// After an error of Save etcd's server ends its process (raft.go: "failed to save Raft hard state and entries").
var etcdKind = systemKind{"etcd", "v3.6.4", []string{"sync"}, newEtcd}

// It preallocates two segments; the default of 64 MiB does not fit the small disks of the scenarios, and neither do the
// five files that it keeps.
const (
	etcdSegmentBytes = 8 << 20
	etcdFilesKept    = 2
	etcdPurgeEvery   = time.Second
)

type etcdSystem struct {
	noEvents
	logger *zap.Logger
}

func newEtcd(string, limits) (system, error) {
	wal.SegmentSizeBytes = etcdSegmentBytes
	config := zap.NewProductionConfig() // to standard error
	config.Level = zap.NewAtomicLevelAt(zap.WarnLevel)
	logger, err := config.Build()
	return &etcdSystem{logger: logger}, err
}

func (s *etcdSystem) healsItself() bool { return false }

func (s *etcdSystem) typed(err error) string {
	for name, sentinel := range map[string]error{
		"ErrCRCMismatch": wal.ErrCRCMismatch, "ErrSnapshotNotFound": wal.ErrSnapshotNotFound,
		"ErrSnapshotMismatch": wal.ErrSnapshotMismatch, "ErrSliceOutOfRange": wal.ErrSliceOutOfRange,
		"ErrFileNotFound": wal.ErrFileNotFound, "ErrMetadataConflict": wal.ErrMetadataConflict,
		"ErrUnexpectedEOF": io.ErrUnexpectedEOF,
	} {
		if errors.Is(err, sentinel) {
			return name
		}
	}
	return ""
}

func (s *etcdSystem) open(_ uint64, dir string, _ uint64) (logStore, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	dir = filepath.Join(dir, "wal")
	if !wal.Exist(dir) {
		log, err := wal.Create(s.logger, dir, nil)
		if err != nil {
			return nil, err
		}
		return s.log(dir, log), nil
	}
	return s.openExisting(dir)
}

// openExisting follows openWALFromSnapshot of etcd's server.
func (s *etcdSystem) openExisting(dir string) (logStore, error) {
	for repaired := false; ; repaired = true {
		snapshots, err := wal.ValidSnapshotEntries(s.logger, dir)
		if err != nil {
			return nil, err
		}
		var newest walpb.Snapshot
		if n := len(snapshots); n > 0 {
			newest = snapshots[n-1]
		}
		log, err := wal.Open(s.logger, dir, newest)
		if err != nil {
			return nil, err
		}
		_, state, entries, err := log.ReadAll()
		if err == nil {
			l := s.log(dir, log)
			l.snapshot, l.state, l.last = newest, state, newest.Index
			for _, e := range entries {
				l.last = e.Index
			}
			return l, nil
		}
		log.Close()
		if repaired || !errors.Is(err, io.ErrUnexpectedEOF) || !wal.Repair(s.logger, dir) {
			return nil, err
		}
	}
}

// log starts the purge of released files that etcd's server runs as well (its --max-wals).
func (s *etcdSystem) log(dir string, log *wal.WAL) *etcdLog {
	l := &etcdLog{logger: s.logger, dir: dir, wal: log, stop: make(chan struct{})}
	fileutil.PurgeFile(s.logger, dir, ".wal", etcdFilesKept, etcdPurgeEvery, l.stop)
	return l
}

type etcdLog struct {
	logger   *zap.Logger
	dir      string
	wal      *wal.WAL
	snapshot walpb.Snapshot
	state    raftpb.HardState
	last     uint64
	stop     chan struct{}
}

func (l *etcdLog) append(entries []entry) error {
	batch := make([]raftpb.Entry, len(entries))
	for i, e := range entries {
		batch[i] = raftpb.Entry{Term: e.term, Index: e.index, Data: e.data}
	}
	if err := l.wal.Save(raftpb.HardState{}, batch); err != nil {
		return err
	}
	l.last = entries[len(entries)-1].index
	return nil
}

func (l *etcdLog) entries() ([]raftpb.Entry, error) {
	log, err := wal.OpenForRead(l.logger, l.dir, l.snapshot)
	if err != nil {
		return nil, err
	}
	_, _, entries, err := log.ReadAll() // closes the files
	return entries, err
}

func (l *etcdLog) read(lo, hi uint64) ([]entry, error) {
	all, err := l.entries()
	var entries []entry
	for _, e := range all {
		if e.Index >= lo && e.Index <= hi {
			entries = append(entries, entry{e.Index, e.Term, e.Data})
		}
	}
	return entries, err
}

func (l *etcdLog) setHardState(state hardState) error {
	saved := raftpb.HardState{Term: state.term, Vote: state.vote, Commit: state.commit}
	if err := l.wal.Save(saved, nil); err != nil {
		return err
	}
	l.state = saved
	return nil
}

func (l *etcdLog) hardState() (hardState, error) {
	return hardState{l.state.Term, l.state.Vote, l.state.Commit}, nil
}

// compact stores a snapshot record, which counts only once the commit has reached it, and gives back older files.
func (l *etcdLog) compact(index uint64) error {
	if index <= l.snapshot.Index {
		return nil
	}
	found, err := l.read(index, index)
	if err != nil {
		return err
	}
	if len(found) != 1 {
		return errors.New("there is no entry at the index to compact to")
	}
	if l.state.Commit < index {
		state := hardState{max(l.state.Term, found[0].term), l.state.Vote, index}
		if err := l.setHardState(state); err != nil {
			return err
		}
	}
	snapshot := walpb.Snapshot{Index: index, Term: found[0].term, ConfState: &raftpb.ConfState{Voters: []uint64{1}}}
	if err := l.wal.SaveSnapshot(snapshot); err != nil {
		return err
	}
	l.snapshot = snapshot
	return l.wal.ReleaseLockTo(index)
}

func (l *etcdLog) bounds() (first, last uint64, err error) {
	return l.snapshot.Index + 1, max(l.last, l.snapshot.Index), nil
}

func (l *etcdLog) sync() error { return l.wal.Sync() }

func (l *etcdLog) close() error {
	close(l.stop)
	return l.wal.Close()
}

// readsWhole: one bad record keeps ReadAll from returning any entry.
func (l *etcdLog) readsWhole() {}
