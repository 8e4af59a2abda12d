package raftest

import (
	"testing"
	"time"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
	"github.com/bulkhead-wal/bulkhead/go/cubefs/supervisor"
)

func (l *loader) count(kind supervisor.Kind) (count int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.events {
		if e.Kind == kind {
			count++
		}
	}
	return count
}

// TestCallThatComesTooLate: a group is called back a second time while it is on its way.
// That call is over with the return: fenced later, the group stays down.
func TestCallThatComesTooLate(t *testing.T) {
	engine := deafEngine(t)
	c := startPlain(t, engine)
	l := unload(t, c, engine)
	entered, release := make(chan struct{}), make(chan struct{})
	l.restart = func() error {
		entered <- struct{}{}
		<-release
		return l.load()
	}
	if err := l.load(); err != nil {
		t.Fatal(err)
	}
	fence := func() {
		t.Helper()
		if err := partitionIn(t, engine, l.n.Dir(1)).Fence(bulkhead.StateUnavailable, "the disk is to be replaced"); err != nil {
			t.Fatal(err)
		}
		proposeAll(t, c, numbers(1), 5)
	}
	call := func() {
		t.Helper()
		if err := l.sup.BringBack(1); err != nil {
			t.Fatal(err)
		}
	}
	fence()
	eventually(t, "the group is stopped", func() bool { return l.count(supervisor.Stopped) == 1 })
	call()
	<-entered
	call()
	close(release)
	eventually(t, "the group is back", func() bool { return l.count(supervisor.Returned) == 1 })
	fence()
	eventually(t, "the group is stopped again", func() bool { return l.count(supervisor.Stopped) == 2 })
	select {
	case <-entered:
		t.Error("it is started, and nobody has called")
	case <-time.After(time.Second):
	}
	go func() { <-entered }()
	call()
	eventually(t, "the group is back again", func() bool { return l.count(supervisor.Returned) == 2 })
}
