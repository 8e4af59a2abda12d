package supervisor

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
	"github.com/bulkhead-wal/bulkhead/go/cubefs"
	"github.com/bulkhead-wal/bulkhead/go/cubefs/registry"
	"github.com/cubefs/cubefs/depends/tiglabs/raft"
)

// startingOwner starts groups with a function of the test's.
type startingOwner struct{ start func() error }

func (startingOwner) Stop(cubefs.Fault, int) {}
func (startingOwner) Gone() bool             { panic("an owner's panic is caught") }
func (o startingOwner) Return(bool) error    { return o.start() }

// downOn makes a group whose log is good and could not be opened a moment ago.
func downOn(t *testing.T, s *Supervisor, engine *bulkhead.Engine, disk string, id uint64, start func() error) {
	t.Helper()
	dir := dirOf(disk, id)
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	p, err := engine.OpenPartition(bulkhead.PartitionConfig{Path: dir, ID: id})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	failTo(s, engine, dir, id, start)
	t.Cleanup(func() { s.Forget(nil, id) })
}

// failTo has a group's log fail to open.
func failTo(s *Supervisor, engine *bulkhead.Engine, dir string, id uint64, start func() error) {
	s.Failed(dir, cubefs.Config{Engine: engine, PartitionID: id}, Group{ID: id, Owner: startingOwner{start}}, &bulkhead.Error{Code: bulkhead.ErrIO})
}

// dirOf is where downOn puts a log.
func dirOf(disk string, id uint64) string {
	number := strconv.FormatUint(id, 10)
	return filepath.Join(disk, "datapartition_"+number, "wal_"+number)
}

func openEngine(t *testing.T) *bulkhead.Engine {
	t.Helper()
	engine, err := bulkhead.Open(bulkhead.EngineConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close() })
	return engine
}

// TestDiskThatHangsHoldsUpNoOther: the return of a partition may hang with its disk. Groups
// of other disks must come back meanwhile.
func TestDiskThatHangsHoldsUpNoOther(t *testing.T) {
	engine, s := openEngine(t), New(Options{FirstDelay: 10 * time.Millisecond})
	var hung sync.WaitGroup
	release, started := make(chan struct{}), make(chan struct{}, 100)
	defer close(release)
	sick, well := t.TempDir(), t.TempDir()
	hung.Add(returnsAtATime)
	for id := uint64(1); id <= returnsAtATime; id++ {
		var once sync.Once
		downOn(t, s, engine, sick, id, func() error { once.Do(hung.Done); <-release; return errors.New("too late") })
	}
	hung.Wait()
	downOn(t, s, engine, well, 99, func() error { started <- struct{}{}; return errors.New("not now") })
	select {
	case <-started:
	case <-time.After(5 * time.Second):
		t.Error("the group of another disk was not tried in 5 s")
	}
}

// TestLogThatCubeFSsWALHolds: a load that came so far as to open CubeFS's WAL, and no
// further, leaves that open, and its directory locked: the next try must come to its owner.
func TestLogThatCubeFSsWALHolds(t *testing.T) {
	dir := dirOf(t.TempDir(), 1)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "META"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	held, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if err := syscall.Flock(int(held.Fd()), syscall.LOCK_SH); err != nil {
		t.Fatal(err)
	}
	s, started := New(Options{FirstDelay: 10 * time.Millisecond}), make(chan struct{}, 100)
	failTo(s, openEngine(t), dir, 1, func() error { started <- struct{}{}; return errors.New("not now") })
	defer s.Forget(nil, 1)
	select {
	case <-started:
	case <-time.After(5 * time.Second):
		t.Error("it was not tried in 5 s")
	}
}

// TestStartsThatFail: each failed start leaves something behind in a datanode, so they
// become rare; and an alarm is raised when the reason is another, not for each.
func TestStartsThatFail(t *testing.T) {
	var mu sync.Mutex
	var told []string
	tries := 0
	s := New(Options{FirstDelay: 10 * time.Millisecond, LongestDelay: 10 * time.Millisecond, OnEvent: func(e Event) {
		mu.Lock()
		defer mu.Unlock()
		if e.Kind == ReturnFailed {
			told = append(told, e.Err.Error())
		}
	}})
	downOn(t, s, openEngine(t), t.TempDir(), 1, func() error {
		mu.Lock()
		defer mu.Unlock()
		if tries++; tries > 3 {
			return errors.New("another reason")
		}
		return errors.New("a reason")
	})
	time.Sleep(2 * time.Second) // 10, 20, 40, ... 1280 ms; every 10 ms they would be 200
	mu.Lock()
	defer mu.Unlock()
	if tries < 4 || tries > 8 {
		t.Errorf("%d tries", tries)
	}
	if len(told) != 2 || told[0] != "a reason" || told[1] != "another reason" {
		t.Errorf("of %d failed tries was told: %q", tries, told)
	}
	if totals := s.Totals(); totals.FailedReturns < uint64(tries)-1 {
		t.Errorf("%d tries, %d counted", tries, totals.FailedReturns)
	}
}

// TestTriesBeginAnew: starts that fail become rare. When somebody else has loaded the group
// that is over: the next time it is down it is tried as if it had never been.
func TestTriesBeginAnew(t *testing.T) {
	engine, s, disk := openEngine(t), New(Options{FirstDelay: 10 * time.Millisecond, LongestDelay: 10 * time.Millisecond}), t.TempDir()
	var tries int32
	start := func() error { atomic.AddInt32(&tries, 1); return errors.New("not now") }
	downOn(t, s, engine, disk, 1, start)
	for atomic.LoadInt32(&tries) < 8 { // the next one comes after 2.5 s
		time.Sleep(time.Millisecond)
	}
	s.begin(dirOf(disk, 1), cubefs.Config{}, Group{ID: 1, Owner: startingOwner{start}}).succeeded(nil)
	failTo(s, engine, dirOf(disk, 1), 1, start)
	time.Sleep(500 * time.Millisecond)
	if atomic.LoadInt32(&tries) == 8 {
		t.Error("it was not tried in half a second")
	}
}

// TestAnotherHandFailsMeanwhile: a group waits for its turn, and another hand fails to load
// it. That is no return.
func TestAnotherHandFailsMeanwhile(t *testing.T) {
	engine, disk := openEngine(t), t.TempDir()
	var returned int32
	s := New(Options{FirstDelay: 10 * time.Millisecond, OnEvent: func(e Event) {
		if e.Kind == Returned {
			atomic.AddInt32(&returned, 1)
		}
	}})
	var hung sync.WaitGroup
	release, tried := make(chan struct{}), make(chan struct{}, 100)
	hung.Add(returnsAtATime)
	for id := uint64(1); id <= returnsAtATime; id++ {
		var once sync.Once
		downOn(t, s, engine, disk, id, func() error { once.Do(hung.Done); <-release; return errors.New("too late") })
	}
	hung.Wait()
	start := func() error { tried <- struct{}{}; return errors.New("not now") }
	downOn(t, s, engine, disk, 99, start)
	time.Sleep(200 * time.Millisecond) // it is its time, and not its turn
	failTo(s, engine, dirOf(disk, 99), 99, start)
	close(release)
	<-tried
	if atomic.LoadInt32(&returned) != 0 {
		t.Error("a return is told of a group that nobody has started")
	}
}

// TestNotStartedBesideAnotherHand: while another hand opens the log of a group that is down,
// the supervisor leaves it alone.
func TestNotStartedBesideAnotherHand(t *testing.T) {
	engine, s, disk := openEngine(t), New(Options{FirstDelay: 10 * time.Millisecond}), t.TempDir()
	tried := make(chan struct{}, 100)
	start := func() error { tried <- struct{}{}; return errors.New("not now") }
	o := s.begin(dirOf(disk, 1), cubefs.Config{Engine: engine, PartitionID: 1}, Group{ID: 1, Owner: startingOwner{start}})
	downOn(t, s, engine, disk, 1, start)
	select {
	case <-tried:
		t.Error("it was started, and another hand is about to")
	case <-time.After(200 * time.Millisecond):
	}
	o.failed(&bulkhead.Error{Code: bulkhead.ErrIO})
	<-tried
}

// TestCallBesideAnotherHand: a call that comes while another hand opens the log counts for
// the try after that one's failure.
func TestCallBesideAnotherHand(t *testing.T) {
	engine, s, disk := openEngine(t), New(Options{FirstDelay: 10 * time.Millisecond, ByCall: true}), t.TempDir()
	tried := make(chan struct{}, 100)
	start := func() error { tried <- struct{}{}; return errors.New("not now") }
	o := s.begin(dirOf(disk, 1), cubefs.Config{Engine: engine, PartitionID: 1}, Group{ID: 1, Owner: startingOwner{start}})
	downOn(t, s, engine, disk, 1, start)
	if err := s.BringBack(1); err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond)
	o.failed(&bulkhead.Error{Code: bulkhead.ErrIO})
	select {
	case <-tried:
	case <-time.After(5 * time.Second):
		t.Error("the call was answered, and nothing came of it in 5 s")
	}
}

// TestLoadThatMeetsATry: the look that a try takes at the log has it open for a moment. A
// load that fails for that is a load that has failed, not somebody's wish.
func TestLoadThatMeetsATry(t *testing.T) {
	s, dir, tried := New(Options{FirstDelay: 10 * time.Millisecond}), dirOf(t.TempDir(), 1), make(chan struct{}, 100)
	start := startingOwner{func() error { tried <- struct{}{}; return errors.New("not now") }}
	s.Failed(dir, cubefs.Config{Engine: openEngine(t), PartitionID: 1}, Group{ID: 1, Owner: start}, &bulkhead.Error{Code: bulkhead.ErrAlreadyOpen})
	defer s.Forget(nil, 1)
	if passes(raft.ErrRaftExists) {
		t.Error("a group that exists is taken for one that is down")
	}
	s.mu.Lock()
	m := s.members[key{nil, 1}]
	if m == nil || m.latest == nil || m.latest.storage != nil || !m.latest.down {
		t.Error("its load has not failed")
	}
	s.mu.Unlock()
}

// TestWhatAFailedTryLeavesOpen: a try that did not come to its owner has opened nothing. The
// new partition of one that did is the one that the next try begins with.
func TestWhatAFailedTryLeavesOpen(t *testing.T) {
	s, dir := New(Options{}), dirOf(t.TempDir(), 1)
	begin := func(name string) *opening {
		return s.begin(dir, cubefs.Config{}, Group{ID: 1, Owner: startingOwner{func() error { return errors.New(name) }}})
	}
	down, other := begin("down"), begin("other")
	other.succeeded(nil)
	m := other.member
	if m.leftOpen(down, errors.New("no room")); m.latest != other {
		t.Error("another hand's log is taken for one that the try has left")
	}
	m.leftOpen(down, startError{errNotRegistered})
	if err := down.group.Owner.Return(false); m.latest != down || err.Error() != "other" {
		t.Errorf("it goes on with the partition %q", err)
	}
}

// badMeta is a data partition whose META cannot be written.
type badMeta struct {
	raft.StateMachine
	diskErrCnt uint64
}

func (*badMeta) PersistMetadata() error { return errors.New("no space") }

// TestCountThatIsNotKept: as long as META has the error count the heartbeats are to have it.
func TestCountThatIsNotKept(t *testing.T) {
	partition := &badMeta{diskErrCnt: 2}
	d := &datanode{group: registry.Group{StateMachine: partition}}
	if err := d.clear(); err == nil || partition.diskErrCnt != 2 {
		t.Errorf("%v, the count is %d", err, partition.diskErrCnt)
	}
}

// TestFirstLogThatIsNotMade: the very first opening of a log fails, and there is none. That
// is no obstacle to a start, which makes it; but if there was one when it failed it is.
func TestFirstLogThatIsNotMade(t *testing.T) {
	for name, had := range map[string][]string{"no directory": nil, "no log": {"META/", "root.new"}, "a log": {"META/", "root"}, "CubeFS's log": {"META"}} {
		t.Run(name, func(t *testing.T) {
			engine, s, disk := openEngine(t), New(Options{FirstDelay: 10 * time.Millisecond}), t.TempDir()
			dir, tried := dirOf(disk, 1), make(chan struct{}, 100)
			err := os.MkdirAll(filepath.Dir(dir), 0o755)
			for _, file := range had {
				if path := filepath.Join(dir, file); err == nil && file == "META/" {
					err = os.MkdirAll(path, 0o755)
				} else if err = os.MkdirAll(dir, 0o755); err == nil {
					err = os.WriteFile(path, nil, 0o600)
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			failTo(s, engine, dir, 1, func() error { tried <- struct{}{}; return errors.New("not now") })
			t.Cleanup(func() { s.Forget(nil, 1) })
			starts := name[:2] == "no"
			if !starts {
				if err := os.RemoveAll(dir); err != nil {
					t.Fatal(err)
				}
			}
			select {
			case <-tried:
				if !starts {
					t.Error("started with no log, and there was one")
				}
			case <-time.After(500 * time.Millisecond):
				if starts {
					t.Error("not started")
				}
			}
		})
	}
}

// TestPartitionWithoutMeta: CubeFS loads no partition without its META. One whose creation
// has failed has none.
func TestPartitionWithoutMeta(t *testing.T) {
	disk := t.TempDir()
	d := &datanode{group: registry.Group{WalPath: filepath.Join(disk, "datapartition_1_1")}}
	var err error
	if d.device, err = deviceOf(disk); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(d.group.WalPath, 0o755); err != nil {
		t.Fatal(err)
	}
	if !d.Gone() {
		t.Error("it waits for a partition that was never made")
	}
	if err := os.WriteFile(filepath.Join(d.group.WalPath, "META"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if d.Gone() {
		t.Error("it does not wait for a partition that is there")
	}
}
