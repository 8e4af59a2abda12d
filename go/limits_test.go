package bulkhead

import (
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func inForce(t *testing.T, limits func() ([]LimitInForce, error), limit Limit) LimitInForce {
	t.Helper()
	all, err := limits()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range all {
		if l.Limit == limit {
			return l
		}
	}
	t.Fatalf("no %v in %+v", limit, all)
	return LimitInForce{}
}

func TestLimitNames(t *testing.T) {
	for l := LimitMaxEntryBytes; l <= LimitIdleCheckMs; l++ {
		if LimitByName(l.String()) != l {
			t.Errorf("%d is %q", l, l.String())
		}
	}
	if LimitHealLimitMs.String() != "heal_limit_ms" || LimitByName("patience") != 0 || Limit(99).String() != "unknown(99)" {
		t.Error(LimitHealLimitMs.String(), LimitByName("patience"), Limit(99).String())
	}
}

// A heal limit that is raised heals the next fault inside the call; what is set
// for one partition leaves the other alone.
func TestLimitsChangeWhileItRuns(t *testing.T) {
	e := openEngine(t, neverHeals)
	p := openPartition(t, e, ModeSync)
	other := reopenPartition(t, e, PartitionConfig{Path: filepath.Join(t.TempDir(), "wal_8"), ID: 8})
	mustAppend(t, p, makeEntries(1, 4, 1, 10))
	sub := e.Subscribe()
	defer sub.Close()
	if err := p.SetLimits(LimitChange{LimitHealLimitMs, 2000}, LimitChange{LimitProbeMs, LimitNever}); err != nil {
		t.Fatal(err)
	}
	if event := nextEvent(t, sub); event.Op != OpSetLimits || event.Partition != p || event.Cause != CauseNone || !reflect.DeepEqual(event.Limits, []LimitChanged{
		{LimitHealLimitMs, ScopePartition, 0, LimitNever, 2000, ScopePartition},
		{LimitProbeMs, ScopePartition, 0, LimitNever, LimitNever, ScopePartition},
	}) {
		t.Errorf("event %+v", event)
	}
	breakDisk(t, p)
	mustAppend(t, p, makeEntries(4, 6, 1, 10))
	if l := inForce(t, p.Limits, LimitHealLimitMs); l != (LimitInForce{LimitHealLimitMs, 2000, ScopePartition, 0, 60000}) {
		t.Errorf("%+v", l)
	}
	if l := inForce(t, other.Limits, LimitHealLimitMs); l.Value != LimitNever || l.SetFor != ScopeOpen {
		t.Errorf("the other one: %+v", l)
	}

	device, err := DeviceOf(other.Path())
	if err != nil {
		t.Fatal(err)
	}
	if disks, err := e.Disks(); err != nil || len(disks) != 1 || disks[0].Device != device || disks[0].Partitions != 2 {
		t.Errorf("disks %+v, %v", disks, err)
	}
	if err := e.SetDiskLimits(device, LimitChange{LimitHealLimitMs, 50}); err != nil {
		t.Error(err)
	}
	if l := inForce(t, func() ([]LimitInForce, error) { return e.DiskLimits(device) }, LimitHealLimitMs); l.Value != 50 || l.SetFor != ScopeDisk {
		t.Errorf("the disk: %+v", l)
	}
	if err := e.SetLimits(LimitChange{LimitStallLimitMs, 7000}); err != nil {
		t.Error(err)
	}
	if p.stallLimit() != 7*time.Second {
		t.Errorf("who waits on this side waits %v", p.stallLimit())
	}
	if err := p.SetLimits(LimitChange{LimitHealLimitMs, LimitInherit}); err != nil {
		t.Error(err)
	}
	if l := inForce(t, p.Limits, LimitHealLimitMs); l.Value != 50 || l.SetFor != ScopeDisk {
		t.Errorf("taken back: %+v", l)
	}
	err = p.SetLimits(LimitChange{LimitProbeMs, 60001})
	if !errors.Is(err, ErrInvalidConfig) || !strings.Contains(err.Error(), "between 1 and 60000, or never") {
		t.Errorf("out of range: %v", err)
	}
	if err := p.SetLimits(LimitChange{LimitHealLimitMs, 0}); !errors.Is(err, ErrInvalidConfig) {
		t.Errorf("a zero is not never: %v", err)
	}
	if err := p.SetLimits(); !errors.Is(err, ErrInvalidArgument) {
		t.Errorf("nothing: %v", err)
	}
	if err := other.Close(); err != nil {
		t.Error(err)
	}
	if _, err := other.Limits(); !errors.Is(err, ErrClosed) || other.stallLimit() != defaultStallLimit {
		t.Errorf("of a closed one: %v", err)
	}
}

// What an event of limits changed is a call of its own: the engine must not close
// between the two.
func TestLimitsOfAnEventBesideTheClose(t *testing.T) {
	e, err := Open(EngineConfig{})
	if err != nil {
		t.Fatal(err)
	}
	sub := e.Subscribe()
	soon := func() { time.Sleep(50 * time.Millisecond) }
	// Close has begun, and comes no further.
	e.waiters.mu.Lock()
	closed := make(chan error)
	go func() { closed <- e.Close() }()
	for closing := false; !closing; {
		e.mu.Lock()
		closing = e.closing
		e.mu.Unlock()
	}
	soon()
	// The event is fetched, and comes no further.
	e.mu.Lock()
	if err := e.SetLimits(LimitChange{LimitProbeMs, 70}); err != nil {
		t.Error(err)
	}
	soon()
	e.waiters.mu.Unlock()
	soon() // Close goes on as far as it can
	e.mu.Unlock()
	if err := <-closed; err != nil {
		t.Error(err)
	}
	event := nextEvent(t, sub)
	if want := (LimitChanged{LimitProbeMs, ScopeEngine, 0, 250, 70, ScopeEngine}); event.Op != OpSetLimits || len(event.Limits) != 1 || event.Limits[0] != want {
		t.Errorf("event %+v", event)
	}
}

// Whatever waits when the engine is closed was fetched: it is pushed by nobody after that.
func TestEventsBeforeTheCloseAreDelivered(t *testing.T) {
	e, err := Open(EngineConfig{})
	if err != nil {
		t.Fatal(err)
	}
	sub := e.Subscribe()
	const events = 5 * eventBatch
	e.mu.Lock() // the pump comes no further than its first ones
	for i := 0; i < events; i++ {
		if err := e.SetLimits(LimitChange{LimitProbeMs, uint64(100 + i)}); err != nil {
			t.Error(err)
		}
	}
	e.mu.Unlock()
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	for i := 0; i < events; i++ {
		if event := nextEvent(t, sub); len(event.Limits) != 1 || event.Limits[0].After != uint64(100+i) {
			t.Fatalf("event %d: %+v", i, event)
		}
	}
}
