package raftest

import (
	"errors"
	"testing"
	"time"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
	"github.com/bulkhead-wal/bulkhead/go/cubefs"
	"github.com/bulkhead-wal/bulkhead/go/cubefs/supervisor"
	"github.com/cubefs/cubefs/depends/tiglabs/raft"
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

// TestIdleGroupThatIsMadeLate: a log has failed and was closed, and a group is made of it
// after all, which writes nothing. It acknowledges heartbeats: it must be stopped when it is
// time for a try, and not be taken for one that is back.
func TestIdleGroupThatIsMadeLate(t *testing.T) {
	engine := deafEngine(t)
	c := startPlain(t, engine)
	idleOnNode1(t, c)
	l := unload(t, c, engine)
	l.sup.SetOptions(supervisor.Options{FirstDelay: 2 * time.Second, OnEvent: l.add})
	s, err := l.open()
	if err != nil {
		t.Fatal(err)
	}
	mend := flip(t, l.n.Dir(1), []byte("command 10 of group 1"))
	first, _ := s.FirstIndex() // neither ever fails
	last, _ := s.LastIndex()
	if _, _, err := s.Entries(first, last+1, 1<<20); err == nil {
		t.Fatal("a flipped bit was not found")
	}
	mend()
	eventually(t, "the log is closed", func() bool { return l.count(supervisor.Stopped) == 1 })
	if err := l.create(s); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the group is back", func() bool { return l.count(supervisor.Returned) == 1 })
	if n := l.count(supervisor.Stopped); n != 2 {
		t.Errorf("it was stopped %d times", n)
	}
	proposeAll(t, c, numbers(1), 5)
	agree(t, c, numbers(1), 36)
}

// TestStartThatSaysItFailed: an owner starts a group and returns an error all the same. The
// group runs, which is a return.
func TestStartThatSaysItFailed(t *testing.T) {
	engine := deafEngine(t)
	c := startPlain(t, engine)
	l := unload(t, c, engine)
	l.restart = func() error {
		if err := l.load(); err != nil {
			return err
		}
		return errors.New("too late")
	}
	l.sup.Failed(l.n.Dir(1), cubefs.Config{Engine: engine, PartitionID: 1}, l.group(), &bulkhead.Error{Code: bulkhead.ErrIO})
	eventually(t, "the group is back", func() bool { return l.count(supervisor.Returned) == 1 })
	if e := l.find(supervisor.ReturnFailed); e == nil || e.Err.Error() != "too late" {
		t.Errorf("told: %v", e)
	}
	proposeAll(t, c, numbers(1), 5)
	agree(t, c, numbers(1), 35)
}

// TestDeadGroupIsNotOpenedAgain: raft has ended a group for its disk, and before it is stopped
// its program tries to start it. It must be told that the group exists, and it must come back
// as if nobody had tried.
func TestDeadGroupIsNotOpenedAgain(t *testing.T) {
	engine := deafEngine(t)
	c := startPlain(t, engine)
	l := unload(t, c, engine)
	faulted, release := make(chan struct{}, 100), make(chan struct{})
	l.sup.SetOptions(supervisor.Options{FirstDelay: 50 * time.Millisecond, OnEvent: func(e supervisor.Event) {
		if e.Kind == supervisor.Faulted {
			faulted <- struct{}{}
			<-release
		}
		l.add(e)
	}})
	if err := l.load(); err != nil {
		t.Fatal(err)
	}
	proposeAll(t, c, numbers(1), 5)
	breakLog(t, l.n, 1)
	proposeAll(t, c, numbers(1), 5)
	<-faulted
	eventually(t, "raft has closed the log", func() bool {
		for _, p := range engine.Partitions() {
			if p.Path() == l.n.Dir(1) {
				return false
			}
		}
		return true
	})
	if err := l.load(); !errors.Is(err, raft.ErrRaftExists) {
		t.Errorf("started again: %v", err)
	}
	close(release)
	eventually(t, "the group is back", func() bool { return l.count(supervisor.Returned) == 1 })
	proposeAll(t, c, numbers(1), 5)
	agree(t, c, numbers(1), 45)
}
