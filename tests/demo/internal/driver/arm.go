package driver

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/bulkhead-wal/bulkhead/tests/demo/internal/fault"
	"github.com/bulkhead-wal/bulkhead/tests/demo/internal/wire"
	"github.com/bulkhead-wal/bulkhead/tests/prometheus"
)

// Display shows a run to a person while it goes on. Called from several goroutines.
type Display interface {
	Begin(engine string, t *Tracker)
	Phase(text string)
	Event(Seen)
	End()
}

// EvDriver is an event of the driver itself.
const EvDriver = "driver"

// arm is the run of one engine.
type arm struct {
	o       Options
	engine  string
	dir     string
	show    Display
	tracker *Tracker
	cluster *cluster
	disk    *fault.Disk
	result  Result

	started, before, failed, ended sample
	brokenAt, backAt               time.Time

	prometheus      *prometheus.Server
	endWatch        func()
	alertMu         sync.Mutex
	firedAt, overAt time.Time
}

// Run runs one engine from an empty directory to its measured result, and leaves
// no process and no mount behind, whatever happens.
func Run(ctx context.Context, o Options, engine string, show Display) (*Result, error) {
	a := &arm{o: o, engine: engine, dir: filepath.Join(o.Dir, engine), show: show, tracker: newTracker(show.Event)}
	a.result = Result{Engine: engine, Others: int(o.Groups) - 1, LeaderSaw: "unknown"}
	show.Begin(engine, a.tracker)
	defer a.cleanUp()
	defer show.End() // first, so that the last picture is the one before the nodes are ended
	for _, step := range []func(context.Context) error{a.setUp, a.watchFor, a.elect, a.measureBefore, a.breakDisk, a.bringBack, a.finish} {
		if err := step(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", engine, err)
		}
	}
	return &a.result, nil
}

func (a *arm) cleanUp() {
	if a.prometheus != nil {
		if a.endWatch != nil {
			a.endWatch()
		}
		a.prometheus.Stop()
	}
	a.cluster.stop()
	if a.disk != nil {
		_ = a.disk.Close()
	}
	_ = os.RemoveAll(a.dir)
}

func (a *arm) say(format string, v ...interface{}) {
	a.tracker.addEvent(Seen{Time: time.Now(), Event: wire.Event{Name: EvDriver, Group: a.o.FaultGroup, Text: fmt.Sprintf(format, v...)}})
}

func (a *arm) setUp(ctx context.Context) error {
	a.show.Phase("starting three nodes")
	if err := os.RemoveAll(a.dir); err != nil {
		return err
	}
	if err := os.MkdirAll(a.dir, 0o755); err != nil {
		return err
	}
	if a.o.Injected {
		a.result.ErrorKind = "injected EIO"
	} else {
		a.result.ErrorKind = "real EIO (ext4 shut down)"
		// The partition's directory is the disk; its WAL is a directory on it.
		mount := filepath.Join(a.dir, fmt.Sprintf("node%d", a.o.FaultNode), fmt.Sprintf("datapartition_%d", a.o.FaultGroup))
		disk, err := fault.NewDisk(filepath.Join(a.dir, "disk.img"), mount)
		if err != nil {
			return err
		}
		a.disk = disk
	}
	var err error
	a.cluster, err = startCluster(ctx, a.o, a.engine, a.dir, a.tracker)
	return err
}

// elect waits for leaders and spreads them over the nodes. Raft elects whom it
// likes; the fault group's leader decides what the fault looks like.
func (a *arm) elect(ctx context.Context) error {
	a.show.Phase("electing leaders")
	deadline := time.Now().Add(leaderLimit)
	for {
		want := map[uint64][]uint64{}
		missing := 0
		for g := uint64(1); g <= a.o.Groups; g++ {
			if leader := a.tracker.leader(g); leader == 0 {
				missing++
			} else if leader != a.preferred(g) {
				want[a.preferred(g)] = append(want[a.preferred(g)], g)
			}
		}
		if missing == 0 && len(want) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("after %v %d groups have no leader and %d nodes not theirs", leaderLimit, missing, len(want))
		}
		if missing == 0 {
			for id, groups := range want {
				a.cluster.processes[id].send(wire.Command{Name: wire.CmdLead, Groups: groups})
			}
		}
		if err := pause(ctx, time.Second/2); err != nil {
			return err
		}
		if dead := a.tracker.dead(); len(dead) > 0 {
			return fmt.Errorf("nodes %v ended before the fault", dead)
		}
	}
}

func (a *arm) preferred(group uint64) uint64 {
	if group == a.o.FaultGroup {
		if a.o.HitLeader {
			return a.o.FaultNode
		}
		return a.o.FaultNode%nodes + 1
	}
	return group%nodes + 1
}

func (a *arm) measureBefore(ctx context.Context) error {
	a.show.Phase("all partitions take writes")
	a.cluster.sendAll(wire.CmdLoad)
	if err := pause(ctx, a.o.Warm); err != nil {
		return err
	}
	a.tracker.resetPauses()
	a.started = a.tracker.mark()
	err := pause(ctx, a.o.Before)
	a.before = a.tracker.mark()
	a.result.PauseBefore = a.tracker.longestPause(a.o.FaultGroup)
	return err
}

func (a *arm) breakDisk(ctx context.Context) error {
	a.show.Phase(fmt.Sprintf("the disk of partition %d on node %d is dead", a.o.FaultGroup, a.o.FaultNode))
	a.tracker.resetPauses()
	a.brokenAt = time.Now()
	if a.o.Injected {
		a.say("node %d's kernel is told to fail the files of partition %d with EIO", a.o.FaultNode, a.o.FaultGroup)
		a.cluster.processes[a.o.FaultNode].send(wire.Command{Name: wire.CmdInject})
	} else {
		a.say("the file system below partition %d on node %d is shut down", a.o.FaultGroup, a.o.FaultNode)
		if err := a.disk.Shutdown(); err != nil {
			return err
		}
	}
	if err := pause(ctx, a.o.Fault); err != nil {
		return err
	}
	if s, failed := a.tracker.find(wire.EvInjectionFailed, a.o.FaultNode, a.o.FaultGroup); failed {
		return fmt.Errorf("the error could not be injected: %s", s.Event.Text)
	}
	a.failed = a.tracker.mark()
	a.result.PauseFault = a.tracker.longestPause(a.o.FaultGroup)
	a.tracker.resetPauses()
	a.readOwner()
	return nil
}

// readOwner notes what everyone believed while the disk was dead.
func (a *arm) readOwner() {
	s := a.tracker.replica(a.o.FaultNode, a.o.FaultGroup)
	a.result.OwnerState, a.result.OwnerCause = s.State, s.Cause
	leader := a.tracker.leader(a.o.FaultGroup)
	if view := a.tracker.replica(leader, a.o.FaultGroup); view.DownSet {
		a.result.LeaderSaw = "no"
		for _, id := range view.Down {
			if id == a.o.FaultNode {
				a.result.LeaderSaw = "yes"
			}
		}
	}
}

func (a *arm) bringBack(ctx context.Context) error {
	a.show.Phase("the cause is removed")
	if a.o.Injected {
		a.say("the injection is over: files opened from now on work")
	} else {
		if err := a.disk.Replace(); err != nil {
			return fmt.Errorf("bringing the disk back: %w", err)
		}
		a.say("the disk is back: its image copied, checked by e2fsck, mounted anew")
	}
	a.backAt = time.Now()
	a.cluster.processes[a.o.FaultNode].send(wire.Command{Name: wire.CmdDiskBack})
	err := pause(ctx, a.o.After)
	a.ended = a.tracker.mark()
	a.result.PauseAfter = a.tracker.longestPause(a.o.FaultGroup)
	return err
}

// finish stops the writers, lets the replicas settle, and compares.
func (a *arm) finish(ctx context.Context) error {
	a.show.Phase("writers stopped, comparing what was acknowledged with what was applied")
	r := &a.result
	a.cluster.ask(wire.CmdStopLoad)
	if err := a.settle(ctx); err != nil {
		return err
	}
	pongs := a.cluster.ask(wire.CmdPing)
	r.DeadNodes = a.tracker.dead()
	r.Alive = len(r.DeadNodes) == 0 && len(pongs) == nodes
	a.judgeOwner()
	a.judgeOthers()
	a.judgeAlert()
	rows := a.tracker.Rows(a.o.FaultNode, a.o.Groups)
	r.Behind = rows[a.o.FaultGroup-1].Behind
	// The engine's word is not asked for: in service is who has all that the others have.
	r.Recovered = r.Alive && r.Behind == 0
	if s, ok := a.tracker.find(wire.EvRecovered, a.o.FaultNode, a.o.FaultGroup); ok {
		r.RecoverTime = s.Time.Sub(a.backAt)
	}
	for id := uint64(1); id <= nodes; id++ {
		r.Unanswered += a.tracker.replica(id, a.o.FaultGroup).Unanswered
	}
	verify(a.o, a.cluster.ask(wire.CmdDump), r)
	if r.FirstError == "" && !r.Told {
		return fmt.Errorf("the error never reached raft: nothing was shown")
	}
	return nil
}

// settle waits until all replicas have applied the same, or until the limit: one
// that is dead never will.
func (a *arm) settle(ctx context.Context) error {
	for deadline := time.Now().Add(settleLimit); time.Now().Before(deadline); {
		if err := pause(ctx, time.Second/2); err != nil {
			return err
		}
		behind := uint64(0)
		for id := uint64(1); id <= nodes; id++ {
			for _, row := range a.tracker.Rows(id, a.o.Groups) {
				if id == a.o.FaultNode && row.Group == a.o.FaultGroup && row.State != "ReadWrite" {
					continue
				}
				behind += row.Behind
			}
		}
		if behind == 0 {
			return nil
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
