package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
)

var bulkheadKind = systemKind{"bulkhead", bulkhead.LibraryVersion(), []string{"none", "sync", "interval"}, newBulkhead}

var bulkheadModes = map[string]bulkhead.Mode{
	"none": bulkhead.ModeNone, "sync": bulkhead.ModeSync, "interval": bulkhead.ModeInterval,
}

type bulkheadSystem struct {
	engine *bulkhead.Engine
	mode   bulkhead.Mode

	mu      sync.Mutex
	pending []reply
}

func newBulkhead(mode string, limits limits) (system, error) {
	config := bulkhead.EngineConfig{StallLimit: limits.stall}
	if limits.noHealing {
		config.HealLimit, config.SpaceWait = bulkhead.Never, bulkhead.Never
	}
	if limits.noHealing || limits.noIdleCheck {
		config.IdleCheck = bulkhead.Never
	}
	engine, err := bulkhead.Open(config)
	if err != nil {
		return nil, err
	}
	s := &bulkheadSystem{engine: engine, mode: bulkheadModes[mode]}
	go s.collect(engine.Subscribe())
	return s, nil
}

// collect stamps each event with the moment at which it reached this program.
func (s *bulkheadSystem) collect(events *bulkhead.Subscription) {
	for {
		e, err := events.Next(context.Background())
		if err != nil {
			return
		}
		r := reply{
			"t_ns": monotonicNs(), "unix_ns": e.Time.UnixNano(), "p": e.PartitionID, "from": e.From.String(),
			"to": e.To.String(), "cause": e.Cause.String(), "op": e.Op.String(), "errno": int(e.Errno),
			"range": span{e.Range.First, e.Range.Last}, "merged": e.Merged,
		}
		s.mu.Lock()
		s.pending = append(s.pending, r)
		s.mu.Unlock()
	}
}

func (s *bulkheadSystem) events() ([]reply, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	events := s.pending
	s.pending = nil
	if events == nil {
		events = []reply{}
	}
	return events, nil
}

// shared reads it from the metrics.
func (s *bulkheadSystem) shared() (uint64, error) {
	text, err := s.engine.MetricsText()
	var groups float64
	for _, line := range strings.Split(string(text), "\n") {
		if strings.HasPrefix(line, "bulkhead_shared_flush_groups_sum{") {
			n, failed := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
			groups, err = groups+n, errors.Join(err, failed)
		}
	}
	return uint64(groups), err
}

func (s *bulkheadSystem) healsItself() bool { return true }

func (s *bulkheadSystem) typed(err error) string {
	var code bulkhead.Code
	var e *bulkhead.Error
	if errors.As(err, &e) {
		code = e.Code
	}
	return bulkheadNames[code]
}

func (s *bulkheadSystem) open(partition uint64, dir string, known uint64) (logStore, error) {
	p, err := s.engine.OpenPartition(bulkhead.PartitionConfig{Path: dir, ID: partition, Mode: s.mode, KnownIndex: known})
	if err != nil {
		return nil, err
	}
	return &bulkheadLog{p}, nil
}

type bulkheadLog struct{ p *bulkhead.Partition }

func (l *bulkheadLog) append(entries []entry) error {
	batch := make([]bulkhead.Entry, len(entries))
	for i, e := range entries {
		batch[i] = bulkhead.Entry{Index: e.index, Term: e.term, Data: e.data}
	}
	return l.p.Append(batch)
}

func (l *bulkheadLog) read(lo, hi uint64) ([]entry, error) {
	found, err := l.p.Read(lo, hi+1, math.MaxUint32)
	if errors.Is(err, bulkhead.ErrOutOfRange) {
		return nil, nil
	}
	if errors.Is(err, bulkhead.ErrCompacted) {
		if first, _, each := l.p.Bounds(); each == nil && first > lo && first <= hi {
			return l.read(first, hi)
		}
		return nil, nil
	}
	entries := make([]entry, len(found))
	for i, e := range found {
		entries[i] = entry{e.Index, e.Term, e.Data}
	}
	return entries, err
}

func (l *bulkheadLog) setHardState(state hardState) error {
	return l.p.SetHardState(bulkhead.HardState{Term: state.term, Vote: state.vote, Commit: state.commit})
}

func (l *bulkheadLog) hardState() (hardState, error) {
	state, err := l.p.HardState()
	return hardState{state.Term, state.Vote, state.Commit}, err
}

func (l *bulkheadLog) compact(index uint64) error              { return l.p.Compact(index) }
func (l *bulkheadLog) bounds() (first, last uint64, err error) { return l.p.Bounds() }
func (l *bulkheadLog) sync() error                             { return l.p.Sync() }
func (l *bulkheadLog) recover() error                          { return l.p.Recover() }
func (l *bulkheadLog) close() error                            { return l.p.Close() }

func (l *bulkheadLog) verify() error {
	report, err := l.p.Verify()
	if err == nil && report.BadRecords > 0 {
		err = fmt.Errorf("%d bad records", report.BadRecords)
	}
	return err
}

func (l *bulkheadLog) report(r reply) error {
	s, err := l.p.Status()
	if err != nil {
		return err
	}
	r["first"], r["last"] = s.FirstIndex, s.LastIndex
	r["state"], r["cause"], r["durable"] = s.State.String(), s.Cause.String(), s.DurableIndex
	if s.Errno != 0 {
		r["cause_errno"] = int(s.Errno)
	}
	if fault := l.p.LastFault(); fault != nil {
		r["fault"] = fault.Error()
	}
	for name, reported := range map[string]bulkhead.Range{
		"damaged": s.Damaged, "lost": s.Lost, "maybe_acknowledged": s.MaybeAcknowledged, "unsynced": s.Unsynced,
	} {
		if reported != (bulkhead.Range{}) {
			r[name] = span{reported.First, reported.Last}
		}
	}
	r["kept_bytes"], r["segments"] = s.KeptBytes, s.Segments
	return nil
}
