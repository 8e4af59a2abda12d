package bulkhead

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// damagedLog makes a log whose segments have no header any more.
func damagedLog(t *testing.T, e *Engine) PartitionConfig {
	t.Helper()
	p := openPartition(t, e, ModeSync)
	mustAppend(t, p, makeEntries(1, 9, 1, 100))
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	segments, err := filepath.Glob(filepath.Join(p.Path(), "*"))
	if err != nil {
		t.Fatal(err)
	}
	damaged := 0
	for _, path := range segments {
		if name := filepath.Base(path); name == "root" || name == "lock" {
			continue
		}
		file, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			continue // a directory
		}
		if _, err := file.WriteAt(make([]byte, 4096), 0); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
		damaged++
	}
	if damaged == 0 {
		t.Fatal("no segment")
	}
	return PartitionConfig{Path: p.Path(), ID: 7}
}

// What an open meets has its partition, whenever it is fetched.
func TestEventsOfAnOpening(t *testing.T) {
	e := openEngine(t, neverHeals)
	config := damagedLog(t, e)
	sub := e.Subscribe()
	defer sub.Close()
	for round := 0; round < 60; round++ {
		e.whileOpening = nil
		if round%2 == 0 {
			e.whileOpening = func() { time.Sleep(2 * time.Millisecond) }
		}
		p := reopenPartition(t, e, config)
		event := nextEvent(t, sub)
		if event.Partition != p || event.PartitionID != 7 || event.To != StateUnavailable || event.Cause != CauseDamage {
			t.Errorf("round %d: %+v", round, event)
		}
		if err := p.Close(); err != nil && !errors.Is(err, ErrDamaged) {
			t.Fatal(err)
		}
	}
}

// A fault of a partition that is closed is not its successor's, however late it is
// fetched.
func TestEventsOfAnEarlierOpening(t *testing.T) {
	e := openEngine(t, neverHeals)
	p := openPartition(t, e, ModeSync)
	mustAppend(t, p, makeEntries(1, 4, 1, 10))
	sub := e.Subscribe()
	defer sub.Close()
	breakDisk(t, p)
	e.drainMu.Lock()
	go func() {
		time.Sleep(50 * time.Millisecond)
		e.drainMu.Unlock()
	}()
	if err := p.Append(makeEntries(4, 5, 1, 10)); err == nil {
		t.Error("an append on a failed disk")
	}
	_ = p.Close() // it says why it failed
	e.whileOpening = func() { time.Sleep(100 * time.Millisecond) }
	reopenPartition(t, e, PartitionConfig{Path: p.Path(), ID: 7})
	if event := nextChange(t, sub); event.To != StateUnavailable || event.Partition != nil {
		t.Errorf("%+v", event)
	}
}

// An engine is closed while an open is under way: what that has met is told, and
// both end.
func TestCloseBesideAnOpening(t *testing.T) {
	e, err := Open(neverHeals)
	if err != nil {
		t.Fatal(err)
	}
	config := damagedLog(t, e)
	sub := e.Subscribe()
	inside, closed := make(chan struct{}), make(chan error, 1)
	e.whileOpening = func() {
		close(inside)
		if err := <-closed; err != nil {
			t.Errorf("close: %v", err)
		}
	}
	go func() {
		<-inside
		closed <- e.Close()
	}()
	if _, err := e.OpenPartition(config); !errors.Is(err, ErrClosed) {
		t.Errorf("an open beside Close: %v", err)
	}
	if event := nextEvent(t, sub); event.Partition != nil || event.To != StateUnavailable {
		t.Errorf("%+v", event)
	}
	for err = nil; err == nil; {
		_, err = sub.Next(context.Background())
	}
	if !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// heard is what the tests below have the engine hear, and what comes of it.
type heard struct {
	t   *testing.T
	e   *Engine
	sub *Subscription
	n   uint64
}

func (h *heard) hear(p *Partition, event Event) {
	h.n++
	event.Sequence, event.PartitionID = h.n, 9
	h.e.mu.Lock()
	defer h.e.mu.Unlock()
	if p == nil {
		h.e.hear(0, event)
	} else {
		h.e.hear(p.handle, event)
	}
}

func (h *heard) begin() { h.e.beginOpening(9) }

// end ends an opening with this partition, which is known from now on.
func (h *heard) end(p *Partition) {
	h.e.mu.Lock()
	defer h.e.mu.Unlock()
	if p != nil {
		h.e.partitions[p.handle] = p
	}
	h.e.endOpening(9, p)
}

// want takes what was delivered.
func (h *heard) want(what string, partitions ...*Partition) {
	h.t.Helper()
	h.sub.mu.Lock()
	defer h.sub.mu.Unlock()
	got := h.sub.pending
	h.sub.pending = nil
	if len(got) != len(partitions) {
		h.t.Fatalf("%s: %d events, want %d: %+v", what, len(got), len(partitions), got)
	}
	for i, event := range got {
		if event.Partition != partitions[i] || i > 0 && event.Sequence <= got[i-1].Sequence {
			h.t.Errorf("%s: event %d is %+v", what, i, event)
		}
	}
}

func newHeard(t *testing.T) *heard {
	h := &heard{t: t, e: openEngine(t, EngineConfig{})}
	h.sub = h.e.Subscribe()
	return h
}

func TestEventsAreHeldInOrder(t *testing.T) {
	h := newHeard(t)
	fault, closed := Event{From: StateReadWrite, To: StateUnavailable}, Event{From: StateReadWrite, To: StateClosed}
	p, other := &Partition{engine: h.e, handle: 1, id: 9, closed: 1}, &Partition{engine: h.e, handle: 2, id: 9, closed: 1}
	defer func() {
		h.e.mu.Lock()
		delete(h.e.partitions, p.handle)
		delete(h.e.partitions, other.handle)
		h.e.mu.Unlock()
	}()

	h.hear(nil, fault)
	h.want("no opening", nil)
	h.begin()
	h.hear(nil, closed)
	h.want("of one that is closed", nil)
	h.hear(nil, fault)
	h.hear(p, fault)
	h.hear(nil, closed)
	h.want("while it is opened")
	h.hear(nil, Event{Op: OpSetLimits, To: StateReadWrite})
	h.want("limits of the engine", nil)
	h.end(p)
	h.want("it is open", p, p, nil)
	h.begin()
	h.hear(p, fault)
	h.want("one that is open, beside an opening", p)
	h.hear(nil, fault)
	h.hear(p, fault)
	h.want("and after one that is held")
	h.end(nil)
	h.want("the open has failed", nil, p)

	h.begin()
	h.begin()
	h.hear(nil, fault)
	h.end(nil)
	h.want("one of two has failed")
	h.end(other)
	h.want("the other has not", other)
	h.begin()
	h.begin()
	h.hear(nil, fault)
	h.hear(other, fault)
	h.end(p)
	h.end(other)
	h.want("it may be of either", nil, other)
	if len(h.e.openings) != 0 {
		t.Errorf("openings are left: %v", h.e.openings)
	}
}

// An open that hangs does not keep from the owner what is known of it, and what
// comes at its end has its partition.
func TestEventsOfAnOpeningThatHangs(t *testing.T) {
	h := newHeard(t)
	p := &Partition{engine: h.e, handle: 1, id: 9, closed: 1}
	defer func() {
		h.e.mu.Lock()
		delete(h.e.partitions, p.handle)
		h.e.mu.Unlock()
	}()
	h.begin()
	h.hear(nil, Event{To: StateRecovering, Cause: CauseStalled})
	time.Sleep(holdLimit / 2)
	h.want("before the limit")
	h.hear(nil, Event{To: StateUnavailable})
	time.Sleep(holdLimit * 3 / 4)
	h.want("after the limit of the first", nil)
	h.end(p)
	h.want("at its end", p)
}

// The disk of a partition is known also if its directory is made by the open.
func TestDeviceOfWhatIsMissing(t *testing.T) {
	dir := t.TempDir()
	want, err := DeviceOf(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"wal_7", "wal_7/", ""} {
		if got := deviceOf(dir + "/" + path); got != want {
			t.Errorf("%q: %d, want %d", path, got, want)
		}
	}
}
