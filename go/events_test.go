package bulkhead

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"syscall"
	"testing"
	"time"

	"github.com/bulkhead-wal/bulkhead/go/internal/baddisk"
)

// breakDisk makes every open file of a partition fail with EIO. Files that are
// made later work: a library that heals gets over it.
func breakDisk(t testing.TB, p *Partition) {
	t.Helper()
	if err := p.Sync(); err != nil { // mode interval opens its file when it flushes
		t.Fatal(err)
	}
	disk, err := baddisk.Break(p.Path())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil && !errors.Is(err, ErrClosed) {
			t.Logf("closing a partition on a failed disk: %v", err)
		}
		disk.End()
	})
}

// nextChange waits for an event that is no warning: a file that was to be made
// ahead and cannot be is one.
func nextChange(t *testing.T, sub *Subscription) Event {
	t.Helper()
	for {
		if event := nextEvent(t, sub); event.Op != OpAllocate || event.From != event.To {
			return event
		}
	}
}

// A fault is pushed: nobody has to ask the partition.
func TestFaultEvent(t *testing.T) {
	for _, mode := range allModes {
		t.Run(mode.String(), func(t *testing.T) {
			config := neverHeals
			config.Interval = 10 * time.Millisecond
			e := openEngine(t, config)
			p, healthy := openPartition(t, e, mode), openPartition(t, e, mode)
			mustAppend(t, p, makeEntries(1, 4, 1, 10))
			mustAppend(t, healthy, makeEntries(1, 4, 1, 10))
			sub := e.Subscribe()
			defer sub.Close()
			breakDisk(t, p)
			err := p.Append(makeEntries(4, 5, 1, 10))
			failed := time.Now()
			if mode != ModeInterval && !errors.Is(err, syscall.EIO) {
				t.Fatalf("append on a failed disk: %v", err)
			}
			event := nextChange(t, sub)
			if took := time.Since(failed); mode != ModeInterval && took > 10*time.Millisecond {
				t.Errorf("the event came after %v", took)
			}
			if event.Partition != p || event.PartitionID != 7 || event.From != StateReadWrite || event.To != StateUnavailable ||
				event.Cause != CauseIOError || event.Errno != syscall.EIO || time.Since(event.Time) > time.Minute {
				t.Errorf("event %+v", event)
			}
			first := p.LastFault()
			for i := 0; i < 3; i++ {
				err := p.Append(makeEntries(4, 5, 1, 10))
				if !errors.Is(err, syscall.EIO) || err.Error() != first.Error() {
					t.Errorf("a later append: %v, want the first error: %v", err, first)
				}
			}
			if err := p.SetHardState(HardState{Term: 9}); !errors.Is(err, syscall.EIO) {
				t.Errorf("a vote on a failed log: %v", err)
			}
			closing := time.Now()
			if err := p.Close(); err != nil && !errors.Is(err, syscall.EIO) {
				t.Errorf("close: %v", err)
			}
			if took := time.Since(closing); took > 100*time.Millisecond {
				t.Errorf("closing a faulted partition took %v", took)
			}
			mustAppend(t, healthy, makeEntries(4, 8, 1, 10))
		})
	}
}

// nextEvent leaves out that a disk is slow, which any disk may be at any time,
// and what its filesystem is.
func nextEvent(t *testing.T, sub *Subscription) Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for {
		event, err := sub.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		switch event.Cause {
		case CauseStalled, CauseUntestedFilesystem, CauseVolatileFilesystem:
			if event.From == event.To {
				continue
			}
		}
		return event
	}
}

func TestSubscriptionEnds(t *testing.T) {
	e, err := Open(EngineConfig{})
	if err != nil {
		t.Fatal(err)
	}
	closed, left := e.Subscribe(), e.Subscribe()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := left.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Next with a cancelled context: %v", err)
	}
	closed.Close()
	if _, err := closed.Next(context.Background()); !errors.Is(err, ErrClosed) {
		t.Errorf("Next after Close: %v", err)
	}
	done := make(chan error)
	go func() {
		_, err := left.Next(context.Background())
		done <- err
	}()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, ErrClosed) {
		t.Errorf("Next after the engine's Close: %v", err)
	}
	if _, err := e.Subscribe().Next(context.Background()); !errors.Is(err, ErrClosed) {
		t.Errorf("Next of a subscription to a closed engine: %v", err)
	}
}

// A reader that stops reading must not make the process grow without bound, and
// must still learn the latest state of every partition.
func TestSlowReaderSeesLatestState(t *testing.T) {
	s := &Subscription{latest: make(map[eventKey]int), wake: make(chan struct{}, 1)}
	states := []State{StateReadWrite, StateUnavailable, StateRecovering}
	const partitions, changes = 10, 5000
	for i := 0; i < changes; i++ {
		s.add(Event{Sequence: uint64(i), PartitionID: uint64(i % partitions), From: states[i%3], To: states[(i+1)%3]})
	}
	if len(s.pending) > pendingEvents+partitions {
		t.Fatalf("%d events are kept", len(s.pending))
	}
	last, seen := make(map[uint64]Event), 0
	for len(s.pending) > 0 {
		event := s.take()
		last[event.PartitionID] = event
		seen += 1 + int(event.Merged)
		if seen == 100 { // the table must stay right while events go
			s.add(Event{Sequence: changes, PartitionID: 3, To: StateClosed})
		}
	}
	if seen != changes+1 {
		t.Errorf("%d changes are accounted for, want %d", seen, changes+1)
	}
	for id, event := range last {
		if id != 3 && event.Sequence != uint64(changes-partitions)+id {
			t.Errorf("partition %d: the latest change seen is %d", id, event.Sequence)
		}
	}
	if last[3].To != StateClosed {
		t.Errorf("partition 3 ends in %v", last[3].To)
	}
}

// An audit of limits must not miss one that another followed, and a fault must not
// become a setting of limits.
func TestLimitsAreMergedFromTheFirstToTheLast(t *testing.T) {
	s := &Subscription{latest: make(map[eventKey]int), wake: make(chan struct{}, 1)}
	for id := uint64(1); id <= pendingEvents; id++ {
		s.add(Event{PartitionID: 100 + id, To: StateUnavailable})
	}
	set := func(limit Limit, before, after uint64, scope Scope) {
		s.add(Event{PartitionID: 1, Op: OpSetLimits, Limits: []LimitChanged{{limit, scope, 0, before, after, scope}}})
	}
	s.add(Event{PartitionID: 1, To: StateUnavailable, Cause: CauseIOError})
	set(LimitProbeMs, 250, 70, ScopePartition)
	set(LimitHealLimitMs, 300, 400, ScopePartition)
	set(LimitProbeMs, 70, 90, ScopePartition)
	set(LimitProbeMs, 250, 60, ScopeDisk)
	got := s.pending[pendingEvents:]
	if len(got) != 3 || got[0].Cause != CauseIOError || got[1].Merged != 2 || len(got[2].Limits) != 1 || !reflect.DeepEqual(got[1].Limits, []LimitChanged{
		{LimitProbeMs, ScopePartition, 0, 250, 90, ScopePartition}, {LimitHealLimitMs, ScopePartition, 0, 300, 400, ScopePartition},
	}) {
		t.Errorf("%+v", got)
	}
}

// A datanode's own loop selects over several channels.
func TestEventsAsAChannel(t *testing.T) {
	e := openEngine(t, EngineConfig{})
	sub, other, left := e.Subscribe(), e.Subscribe(), e.Subscribe()
	events := sub.Events()
	if sub.Events() != events {
		t.Error("a second channel")
	}
	left.Events() // nobody receives from it
	set := func(value uint64) {
		t.Helper()
		if err := e.SetLimits(LimitChange{LimitProbeMs, value}); err != nil {
			t.Fatal(err)
		}
	}
	receive := func(events <-chan Event) (Event, bool) {
		t.Helper()
		select {
		case event, ok := <-events:
			return event, ok
		case <-time.After(10 * time.Second):
			t.Fatal("nothing comes")
		}
		return Event{}, false
	}
	set(70)
	if event, ok := receive(events); !ok || event.Op != OpSetLimits || event.Limits[0].After != 70 {
		t.Errorf("%+v, %v", event, ok)
	}
	set(80) // one waits to be received
	sub.Close()
	sub.Close()
	for { // what was on its way may come
		if _, ok := receive(events); !ok {
			break
		}
	}
	for _, want := range []uint64{70, 80} {
		if event, ok := receive(other.Events()); !ok || event.Limits[0].After != want {
			t.Errorf("%+v, %v", event, ok)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if _, ok := receive(other.Events()); ok {
		t.Error("an event after the engine's Close")
	}
	if event, ok := receive(left.Events()); !ok || event.Limits[0].After != 70 {
		t.Errorf("what was pending: %+v, %v", event, ok)
	}
	left.Close()
}

// The event to merge into may have been read already.
func TestNoMergeIntoWhatWasRead(t *testing.T) {
	s := &Subscription{latest: make(map[eventKey]int), wake: make(chan struct{}, 1)}
	for id := uint64(1); id <= pendingEvents+1; id++ {
		s.add(Event{PartitionID: id, To: StateUnavailable})
	}
	if first := s.take(); first.PartitionID != 1 {
		t.Fatalf("the first event is of partition %d", first.PartitionID)
	}
	s.add(Event{PartitionID: 1, To: StateReadWrite})
	last := s.pending[len(s.pending)-1]
	if last.PartitionID != 1 || last.To != StateReadWrite || last.Merged != 0 {
		t.Errorf("the last event is %+v", last)
	}
}

// What a partition meets while the engine closes it is told as well.
func TestEngineCloseTellsItsFaults(t *testing.T) {
	e, err := Open(neverHeals)
	if err != nil {
		t.Fatal(err)
	}
	p := openPartition(t, e, ModeNone)
	mustAppend(t, p, makeEntries(1, 4, 1, 10))
	sub := e.Subscribe()
	if err := os.Remove(filepath.Join(p.Path(), "root")); err != nil {
		t.Fatal(err)
	}
	// Housekeeping may have met it before; then there is nothing to close.
	if err := e.Close(); err != nil && !errors.Is(err, syscall.ENOENT) {
		t.Errorf("close: %v", err)
	}
	for {
		event, err := sub.Next(context.Background())
		if err != nil {
			t.Fatalf("the event has not come: %v", err)
		}
		if event.PartitionID == 7 && event.To == StateUnavailable && event.Errno == syscall.ENOENT {
			return
		}
	}
}
