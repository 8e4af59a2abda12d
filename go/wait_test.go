package bulkhead

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// threads counts the OS threads of this process.
func threads(t testing.TB) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(status), "\n") {
		if strings.HasPrefix(line, "Threads:") {
			n, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(line, "Threads:")))
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("no thread count")
	return 0
}

const manyWaiters = 4000

// 4,000 goroutines that wait for durability must not become 4,000 threads.
func TestThreadsStayFlat(t *testing.T) {
	p := openPartition(t, openEngine(t, EngineConfig{}), ModeSync)
	mustAppend(t, p, makeEntries(1, 2, 1, 100))
	before := threads(t)
	var turn sync.Mutex
	var wg sync.WaitGroup
	next, most := uint64(2), 0
	for i := 0; i < manyWaiters; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			// The entries must reach the library in order; waiting is outside.
			turn.Lock()
			batch := makeEntries(next, next+1, 1, 100)
			next++
			w, err := p.submit(batch)
			if n := threads(t); n > most {
				most = n
			}
			turn.Unlock()
			if err == nil {
				err = p.await(w, batch)
			}
			if err != nil {
				t.Error(err)
			}
		}()
	}
	wg.Wait()
	if most > before+20 {
		t.Errorf("%d threads before, %d while %d goroutines waited", before, most, manyWaiters)
	}
	t.Logf("%d threads before, at most %d while goroutines waited", before, most)
	mustHold(t, p, makeEntries(1, manyWaiters+2, 1, 100))
}

// Append itself: more goroutines than slots, each with a partition of its own.
func TestAppendThreadsStayFlat(t *testing.T) {
	const partitions, rounds = 200, 20
	e := openEngine(t, EngineConfig{})
	var all []*Partition
	for i := 0; i < partitions; i++ {
		all = append(all, openPartition(t, e, ModeSync))
	}
	before := threads(t)
	done := make(chan struct{})
	most := make(chan int)
	go func() {
		n := 0
		for {
			select {
			case <-done:
				most <- n
				return
			case <-time.After(time.Millisecond):
				if now := threads(t); now > n {
					n = now
				}
			}
		}
	}()
	var wg sync.WaitGroup
	for _, p := range all {
		wg.Add(1)
		go func(p *Partition) {
			defer wg.Done()
			for i := uint64(1); i <= rounds; i++ {
				if err := p.Append(makeEntries(i, i+1, 1, 500)); err != nil {
					t.Error(err)
				}
				if err := p.SetHardState(HardState{Term: i, Vote: 1, Commit: i}); err != nil {
					t.Error(err)
				}
			}
		}(p)
	}
	wg.Wait()
	close(done)
	// Those that append inside the library, the other slots, and what the scheduler keeps in reserve.
	if n := <-most; n > before+int(all[0].disk.appending.few)+otherSlotsPerDisk+40 {
		t.Errorf("%d threads before, %d while %d goroutines appended and voted", before, n, partitions)
	} else {
		t.Logf("%d threads before, at most %d", before, n)
	}
	for _, p := range all {
		checkBounds(t, p, 1, rounds)
	}
}

// Whoever waits when the disk fails gets the error, with the errno and the details.
func TestWaitersGetTheError(t *testing.T) {
	p := openPartition(t, openEngine(t, neverHeals), ModeSync)
	mustAppend(t, p, makeEntries(1, 2, 1, 100))
	breakDisk(t, p)
	err := p.appendOutside(makeEntries(2, 5, 1, 100))
	var e *Error
	if !errors.As(err, &e) || e.Code != ErrIO || e.Errno != syscall.EIO || e.Partition != 7 {
		t.Fatalf("%v", err)
	}
	if !strings.Contains(err.Error(), syscall.EIO.Error()) {
		t.Errorf("no errno text in: %v", err)
	}
}

// Nobody may wait for ever for an engine that is gone.
func TestEngineCloseAnswersWaiters(t *testing.T) {
	e, err := Open(EngineConfig{})
	if err != nil {
		t.Fatal(err)
	}
	p := openPartition(t, e, ModeSync)
	var wg sync.WaitGroup
	var turn sync.Mutex
	next := uint64(1)
	for i := 0; i < 500; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			turn.Lock()
			batch := makeEntries(next, next+1, 1, 100)
			w, err := p.submit(batch)
			if err == nil {
				next++
			}
			turn.Unlock()
			if err == nil {
				err = p.await(w, batch)
			}
			if err != nil && !errors.Is(err, ErrClosed) {
				t.Error(err)
			}
		}()
	}
	time.Sleep(2 * time.Millisecond)
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
}

func TestWaiterTable(t *testing.T) {
	table := waiterTable{waiting: make(map[uint64]*waiter)}
	w := table.add()
	table.remove(w)
	w = table.add()
	table.refuseNew()
	if table.add() != nil {
		t.Error("a waiter was added to a table that refuses new ones")
	}
	go func() {
		time.Sleep(5 * time.Millisecond)
		table.fail(errors.New("gone"))
	}()
	table.drain(10 * time.Second)
	if answer := <-w.answer; answer.err == nil {
		t.Error("the waiter was answered without an error")
	}
	table.drain(0) // empty: returns at once
}

// Thousands of partitions vote at once: only so many calls may hold a thread,
// and when the disk hangs nobody may queue behind them for ever.
func TestSlotsOfADisk(t *testing.T) {
	config := neverHeals
	config.StallLimit = 100 * time.Millisecond
	e := openEngine(t, config)
	p, faulted := openPartition(t, e, ModeSync), openPartition(t, e, ModeSync)
	mustAppend(t, p, makeEntries(1, 3, 1, 10))
	mustAppend(t, faulted, makeEntries(1, 3, 1, 10))
	breakDisk(t, faulted)
	if err := faulted.Append(makeEntries(3, 4, 1, 10)); !errors.Is(err, syscall.EIO) {
		t.Fatalf("append on a failed disk: %v", err)
	}
	for i := 0; i < otherSlotsPerDisk; i++ { // as calls that hang in the kernel would
		p.disk.otherSlots <- struct{}{}
	}
	begin := time.Now()
	err := p.SetHardState(HardState{Term: 2, Vote: 1, Commit: 2})
	var stalled *Error
	if !errors.As(err, &stalled) || stalled.Code != ErrStalled || stalled.Errno != 0 || stalled.Op != OpHardState {
		t.Errorf("a vote with no slot free: %v", err)
	}
	if took := time.Since(begin); took < 100*time.Millisecond || took > time.Second {
		t.Errorf("it took %v with a stall limit of 100 ms", took)
	}
	begin = time.Now()
	if err := faulted.Close(); err != nil && !errors.Is(err, syscall.EIO) {
		t.Errorf("close: %v", err)
	}
	if took := time.Since(begin); took > 50*time.Millisecond {
		t.Errorf("closing a faulted partition waited %v for others", took)
	}
	for i := 0; i < otherSlotsPerDisk; i++ {
		<-p.disk.otherSlots
	}
	if err := p.SetHardState(HardState{Term: 2, Vote: 1, Commit: 2}); err != nil {
		t.Errorf("a vote with slots free: %v", err)
	}
}

// The engine is closed while a goroutine is about to hand its entries over: it is
// answered, and refused as well. The next append of the process, of any engine, must
// not take that answer for its own.
func TestAnAnswerOfARefusedSubmitIsNobodysElse(t *testing.T) {
	table := waiterTable{waiting: make(map[uint64]*waiter)}
	w := table.add()
	table.fail(errors.New("closed"))
	table.remove(w)
	if len(w.answer) != 0 {
		t.Fatal("whoever gets it next finds an answer")
	}
	w = table.add()
	table.remove(w)
	if len(table.waiting) != 0 {
		t.Errorf("%d still wait", len(table.waiting))
	}
}

// TestBusyIsNotStalled: after a leader's node is gone thousands of partitions vote
// at once, and a vote that waits for others is none that the disk does not answer.
func TestBusyIsNotStalled(t *testing.T) {
	engine := openEngine(t, EngineConfig{StallLimit: 100 * time.Millisecond})
	p := openPartition(t, engine, ModeSync)
	for i := 0; i < otherSlotsPerDisk; i++ {
		p.disk.otherSlots <- struct{}{}
	}
	answer := make(chan error, 1)
	go func() { answer <- p.SetHardState(HardState{Term: 1, Vote: 1}) }()
	for i := 0; i < 10; i++ { // calls that come back, each followed by another
		time.Sleep(50 * time.Millisecond)
		atomic.AddUint64(&p.disk.done, 1)
	}
	select {
	case err := <-answer:
		t.Fatalf("while calls came back: %v", err)
	default:
	}
	for i := 0; i < otherSlotsPerDisk; i++ {
		p.leave(true)
	}
	if err := <-answer; err != nil {
		t.Error(err)
	}
}

// TestStalledCallsAreNoProgress: on a disk that hangs each call comes back at its
// stall limit, 16 at a time. Those that wait for them must give up all the same, or
// the last of 3,000 votes waits for a quarter of an hour.
func TestStalledCallsAreNoProgress(t *testing.T) {
	const limit = 100 * time.Millisecond
	engine := openEngine(t, EngineConfig{StallLimit: limit})
	p := openPartition(t, engine, ModeSync)
	took := make(chan time.Duration, 12*otherSlotsPerDisk)
	for i := 0; i < cap(took); i++ {
		go func() {
			begin := time.Now()
			if p.enter(OpHardState) == nil {
				time.Sleep(limit * 4 / 5)
				p.leave(false)
			}
			took <- time.Since(begin)
		}()
	}
	for i := 0; i < cap(took); i++ {
		if d := <-took; d > 5*limit {
			t.Fatalf("one waited %v with a stall limit of %v", d, limit)
		}
	}
}

// A commit alone goes nowhere near the disk, and is no sign that it works. Nor is a
// compaction that drops nothing, or a sync of what is durable.
func TestACommitIsNoProgress(t *testing.T) {
	p := openPartition(t, openEngine(t, EngineConfig{}), ModeSync)
	mustAppend(t, p, makeEntries(1, 4, 1, 10))
	works := func(want uint64, calls ...func() error) {
		t.Helper()
		before := atomic.LoadUint64(&p.disk.done)
		for _, call := range calls {
			if err := call(); err != nil {
				t.Fatal(err)
			}
		}
		if done := atomic.LoadUint64(&p.disk.done) - before; done != want {
			t.Errorf("%d calls count as work of the disk, want %d", done, want)
		}
	}
	compact := func() error { return p.Compact(2) }
	vote := func(commit uint64) func() error {
		return func() error { return p.SetHardState(HardState{Term: 1, Vote: 2, Commit: commit}) }
	}
	works(1, vote(0), vote(1), vote(3))
	works(1, compact, compact)
	works(0, compact, p.Sync)
	p = openPartition(t, p.engine, ModeNone)
	mustAppend(t, p, makeEntries(1, 4, 1, 10))
	works(1, p.Sync, p.Sync)
}

// Verifies take long: votes do not wait for them.
func TestVerifyTakesNoSlotOfAVote(t *testing.T) {
	p := openPartition(t, openEngine(t, EngineConfig{}), ModeSync)
	for i := 0; i < otherSlotsPerDisk; i++ {
		p.disk.otherSlots <- struct{}{}
	}
	verified := make(chan error, 1)
	go func() { _, err := p.Verify(); verified <- err }()
	select {
	case err := <-verified:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(3 * time.Second):
		t.Error("a verify waits for a slot of the votes")
	}
	for i := 0; i < otherSlotsPerDisk; i++ {
		<-p.disk.otherSlots
	}
}

// A verify waits for those before it as long as one of them is due, and no longer.
// tests/faults has disks that are slow, and that hang.
func TestVerifyWaitsForThoseThatAreDue(t *testing.T) {
	p := openPartition(t, openEngine(t, EngineConfig{StallLimit: 100 * time.Millisecond}), ModeSync)
	mustAppend(t, p, makeEntries(1, 4, 1, 10))
	var slots []int
	for i := 0; i < verifySlotsPerDisk; i++ {
		slot, err := p.enterVerify()
		if err != nil {
			t.Fatal(err)
		}
		slots = append(slots, slot)
		atomic.StoreInt64(&p.disk.verifyDue[slot], 0)
	}
	var stalled *Error
	if _, err := p.Verify(); !errors.As(err, &stalled) || stalled.Code != ErrStalled || stalled.Op != OpVerify || stalled.Errno != 0 {
		t.Errorf("behind verifies that are overdue: %v", err)
	}
	atomic.StoreInt64(&p.disk.verifyDue[slots[2]], sinceStart()+int64(400*time.Millisecond))
	begin := time.Now()
	if _, err := p.Verify(); !errors.Is(err, ErrStalled) || time.Since(begin) < 350*time.Millisecond {
		t.Errorf("behind one that is due in 400 ms: %v after %v", err, time.Since(begin))
	}
	p.leaveVerify(slots[2])
	for i := 0; i < 2; i++ {
		if _, err := p.Verify(); err != nil {
			t.Errorf("with a slot free: %v", err)
		}
	}
}
