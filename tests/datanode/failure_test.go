package datanode

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
	"github.com/bulkhead-wal/bulkhead/go/cubefs"
	"github.com/bulkhead-wal/bulkhead/go/cubefs/factory"
	"github.com/bulkhead-wal/bulkhead/go/cubefs/registry"
	"github.com/bulkhead-wal/bulkhead/go/cubefs/supervisor"
	"github.com/cubefs/cubefs/depends/tiglabs/raft"
	"github.com/cubefs/cubefs/proto"
)

// TestDeadDisk: the filesystem under one log dies. The group must be stopped, the
// partition Unavailable within a second and blamed on its disk, every proposal
// answered; and when the disk is back, so must be the partition, with its log and
// a clean record, without a restart. The filesystem forgets what was not synced: in
// mode none entries that were acknowledged are gone, and the replica must not take
// part in raft again as if it had never had them.
func TestDeadDisk(t *testing.T) { inEachMode(t, factory.Policy{}, deadDisk) }

func deadDisk(t *testing.T) {
	p, neighbour := newPartition(t), createPartition(t)
	p.write(20)
	before := p.last()
	if err := p.fs.Shutdown(); err != nil {
		t.Fatal(err)
	}
	begin := p.fail()
	eventually(t, "the partition is Unavailable", func() bool { return p.status() == proto.Unavailable })
	if took := time.Since(begin); took > time.Second {
		t.Errorf("the datanode knew after %v", took)
	}
	if p.registered() {
		t.Error("the dead group is still registered")
	}
	if n := p.errorCount(); n != 1 {
		t.Errorf("the disk was blamed %d times", n)
	}
	if e := p.told(supervisor.Stopped); e.Fault.Cause != bulkhead.CauseIOError {
		t.Errorf("stopped for %v", e.Fault.Cause)
	}
	eventually(t, "CubeFS's alarm is in the log", func() bool {
		text, err := os.ReadFile(filepath.Join(work, "logs", "dataNode", "dataNode_critical.log"))
		return err == nil && strings.Contains(string(text), "bulkhead: group")
	})
	neighbour.write(20)

	p.told(supervisor.ReturnFailed) // the disk is still dead
	if p.registered() {
		t.Error("the group was started on a dead disk")
	}
	p.replaceDisk()
	if policy, _ := factory.CurrentPolicy(); policy.Mode == "none" {
		p.staysDown(bulkhead.ErrLostEntries)
		neighbour.write(5)
		return
	}
	p.told(supervisor.Returned)
	p.awaitLeader()
	p.write(20)
	if p.status() != proto.ReadWrite || p.errorCount() != 0 {
		t.Errorf("back with status %d and %d errors", p.status(), p.errorCount())
	}
	if now := p.last(); now < before+20 {
		t.Errorf("the log went on at %d, it had been at %d", now, before)
	}
	neighbour.write(5)
}

// TestDeadDiskOfAnIdlePartition: the same where nobody writes. Nothing else would tell
// that the replica is dead, which acknowledges heartbeats. Mode none is not looked at.
func TestDeadDiskOfAnIdlePartition(t *testing.T) {
	for _, mode := range []string{"sync", "interval"} {
		mode := mode
		t.Run(mode, func(t *testing.T) {
			setPolicy(t, factory.Policy{Enabled: true, Share: factory.Share{Percent: 100}, Mode: mode})
			p, neighbour := newPartition(t), createPartition(t)
			p.write(20)
			before := p.last()
			time.Sleep(3 * time.Second) // the last mark of an idle log
			begin := time.Now()
			if err := p.fs.Shutdown(); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the partition is Unavailable", func() bool { return p.status() == proto.Unavailable })
			if took := time.Since(begin); took > time.Second {
				t.Errorf("the datanode knew after %v", took)
			} else {
				t.Logf("the datanode knew after %v", took)
			}
			if e := p.told(supervisor.Stopped); e.Fault.Cause != bulkhead.CauseIOError || p.registered() || p.errorCount() != 1 {
				t.Errorf("stopped for %v, registered: %v, the disk was blamed %d times", e.Fault.Cause, p.registered(), p.errorCount())
			}
			p.replaceDisk()
			p.told(supervisor.Returned)
			p.awaitLeader()
			p.write(20)
			if now := p.last(); p.status() != proto.ReadWrite || p.errorCount() != 0 || now < before+20 {
				t.Errorf("back with status %d and %d errors, the log went on at %d, it had been at %d", p.status(), p.errorCount(), now, before)
			}
			neighbour.write(5)
		})
	}
}

// TestFullDisk: no space for one log is nobody's fault. The group is stopped, no
// disk is blamed, and with space the partition is back.
func TestFullDisk(t *testing.T) { inEachMode(t, factory.Policy{}, fullDisk) }

func fullDisk(t *testing.T) {
	p := newPartition(t)
	p.write(5)
	if _, err := p.fs.Fill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the group is stopped", func() bool {
		if err := p.propose(); errors.Is(err, errNoAnswer) {
			t.Fatal(err)
		}
		return len(node.events.of(p.id, supervisor.Stopped)) > 0
	})
	if e := p.told(supervisor.Stopped); e.Fault.Cause != bulkhead.CauseNoSpace {
		t.Errorf("stopped for %v", e.Fault.Cause)
	}
	if p.registered() || p.errorCount() != 0 {
		t.Errorf("registered: %v, disk errors: %d", p.registered(), p.errorCount())
	}
	p.told(supervisor.ReturnFailed)
	fillers, err := filepath.Glob(filepath.Join(p.wal(), "filler*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range fillers {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	p.told(supervisor.Returned)
	p.awaitLeader()
	p.write(20)
}

// TestRemovedWhileDown: a partition that is removed while its log is down must not
// come back, nor any of its directory.
func TestRemovedWhileDown(t *testing.T) { inEachMode(t, factory.Policy{}, removedWhileDown) }

func removedWhileDown(t *testing.T) {
	p := newPartition(t)
	p.write(5)
	if err := p.fs.Shutdown(); err != nil {
		t.Fatal(err)
	}
	p.fail()
	p.told(supervisor.Stopped)
	if err := p.fs.Unmount(); err != nil {
		t.Fatal(err)
	}
	p.fs = nil
	if err := node.space.DeletePartition(p.id, false); err != nil {
		t.Fatal(err)
	}
	p.told(supervisor.Gone)
	if _, err := os.Stat(p.dir); !os.IsNotExist(err) {
		t.Errorf("the directory is there again: %v", err)
	}
}

// TestByCall: an operator may prefer to decide when a partition comes back.
func TestByCall(t *testing.T) { inEachMode(t, factory.Policy{BringBack: "by call"}, byCall) }

func byCall(t *testing.T) {
	p := stoppedPartition(t)
	time.Sleep(2 * time.Second)
	if p.registered() {
		t.Fatal("the partition came back by itself")
	}
	if err := factory.Supervisor.BringBack(p.id); err != nil {
		t.Fatal(err)
	}
	p.told(supervisor.Returned)
	p.awaitLeader()
	p.write(5)
	if err := factory.Supervisor.BringBack(p.id); err == nil {
		t.Error("a partition that runs can be brought back")
	}
}

// TestDetachedPartitionComesBack: an operator reloads too early, and the datanode
// detaches what it cannot load. It must still be brought back.
func TestDetachedPartitionComesBack(t *testing.T) {
	inEachMode(t, factory.Policy{BringBack: "by call"}, detachedPartitionComesBack)
}

func detachedPartitionComesBack(t *testing.T) {
	p := newPartition(t)
	p.write(5)
	p.writeBack()
	if err := p.fs.Shutdown(); err != nil {
		t.Fatal(err)
	}
	p.fail()
	p.told(supervisor.Stopped)
	if answer := p.get("/reloadDataPartition", "id", p.id); p.loaded() != nil {
		t.Fatalf("a partition on a dead disk was loaded: %s", answer)
	}
	if n := p.errorCount(); n == 0 {
		t.Error("the failed load did not count as a disk error")
	}
	p.replaceDisk()
	if err := factory.Supervisor.BringBack(p.id); err != nil {
		t.Fatal(err)
	}
	p.told(supervisor.Returned)
	p.awaitLeader()
	p.write(5)
	if p.status() != proto.ReadWrite || p.errorCount() != 0 {
		t.Errorf("back with status %d and %d errors", p.status(), p.errorCount())
	}
}

// TestBlamedBeforeRestart: a datanode that is started again stops a partition whose
// log has blamed the disk before, as its error count says. If it was the log alone,
// the partition is brought back like one that failed a moment ago.
func TestBlamedBeforeRestart(t *testing.T) {
	byCall := factory.Policy{Enabled: true, Share: factory.Share{Percent: 100}, BringBack: "by call"}
	setPolicy(t, byCall)
	p := stoppedPartition(t)
	p.loadedAnew()
	time.Sleep(2 * time.Second)
	if p.registered() {
		t.Fatal("it was not to come back by itself")
	}
	automatic := byCall
	automatic.BringBack = "automatic"
	setPolicy(t, automatic)
	p.told(supervisor.Returned)
	p.awaitLeader()
	p.write(5)
	if p.status() != proto.ReadWrite || p.errorCount() != 0 {
		t.Errorf("back with status %d and %d errors", p.status(), p.errorCount())
	}
	p.loadedAnew() // nothing is left of it
	p.awaitLeader()
}

// TestBlamedByOthersToo: what the datanode has met in the partition's extents is
// not Bulkhead's to forget.
func TestBlamedByOthersToo(t *testing.T) {
	policy := factory.Policy{Enabled: true, Share: factory.Share{Percent: 100}, BringBack: "by call"}
	setPolicy(t, policy)
	p := stoppedPartition(t)
	p.get("/markDataPartitionBroken", "id", p.id, "status", "false") // as an extent's error does
	p.loadedAnew()
	policy.BringBack = "automatic"
	setPolicy(t, policy)
	time.Sleep(3 * time.Second)
	if p.registered() || p.errorCount() != 2 {
		t.Errorf("it came back, or was forgotten: %d errors", p.errorCount())
	}
	if err := factory.Supervisor.BringBack(p.id); !errors.Is(err, supervisor.ErrNotDown) {
		t.Errorf("a call brings it back: %v", err)
	}
}

// stoppedPartition is one that was stopped because its disk died; the disk is good
// again.
func stoppedPartition(t *testing.T) *partition {
	t.Helper()
	p := newPartition(t)
	p.write(5)
	p.writeBack()
	if err := p.fs.Shutdown(); err != nil {
		t.Fatal(err)
	}
	p.fail()
	p.told(supervisor.Stopped)
	if n := p.errorCount(); n != 1 {
		t.Fatalf("the disk was blamed %d times", n)
	}
	p.replaceDisk()
	return p
}

// TestEveryCauseIsSurvived: whatever fails, HandleFatalEvent must not end the
// process, and the disk is blamed for a failed medium only, whatever the texts
// contain.
func TestEveryCauseIsSurvived(t *testing.T) {
	p := createPartition(t)
	owner := supervisor.Datanode(registry.Group{ID: p.id, WalPath: p.dir, StateMachine: p.loaded(), Server: node.raft})
	if owner == nil {
		t.Fatal("a data partition is not taken for one")
	}
	texts := []error{nil, errors.New("x"), errors.New("a file named " + syscall.EIO.Error()), errors.New("Permission denied: permission denied"),
		&bulkhead.Error{Code: bulkhead.ErrIO, Errno: syscall.EIO}, &bulkhead.Error{Code: bulkhead.ErrIO, Errno: syscall.ENODEV},
		&bulkhead.Error{Code: bulkhead.ErrReadOnlyFilesystem, Errno: syscall.EROFS}}
	for cause := bulkhead.CauseNone; cause <= bulkhead.CauseLostEntries+1; cause++ {
		for _, text := range texts {
			for attempt := 0; attempt < 2; attempt++ {
				before := p.errorCount()
				owner.Stop(cubefs.Fault{Cause: cause, Err: text}, attempt)
				medium := cause == bulkhead.CauseIOError || cause == bulkhead.CauseReadOnlyFilesystem
				if blamed := p.errorCount() > before; blamed != (medium && attempt == 0) {
					t.Errorf("%v, %v, attempt %d: the disk is blamed: %v", cause, text, attempt, blamed)
				}
				if p.registered() {
					t.Fatal("the group is registered")
				}
			}
		}
	}
}

// TestOthersAreOnlyTold: the state machines of metanode and master end the process
// in HandleFatalEvent: they have no owner that would call it.
func TestOthersAreOnlyTold(t *testing.T) {
	p := createPartition(t)
	if supervisor.Datanode(registry.Group{ID: p.id, StateMachine: p.loaded(), Server: node.raft}) != nil {
		t.Error("a group without WalPath is taken for a data partition")
	}
	if supervisor.Datanode(registry.Group{ID: p.id, WalPath: p.dir, StateMachine: struct{ raft.StateMachine }{p.loaded()}, Server: node.raft}) != nil {
		t.Error("a state machine without StartRaft is taken for a data partition")
	}
}

// inEachMode runs a test with all groups Bulkhead's, in each of its modes.
func inEachMode(t *testing.T, policy factory.Policy, test func(*testing.T)) {
	policy.Enabled, policy.Share = true, factory.Share{Percent: 100}
	for _, policy.Mode = range []string{"sync", "interval", "none"} {
		policy := policy
		t.Run(policy.Mode, func(t *testing.T) {
			setPolicy(t, policy)
			test(t)
		})
	}
}

func setPolicy(t *testing.T, policy factory.Policy) {
	t.Helper()
	before, err := factory.CurrentPolicy()
	if err != nil {
		t.Fatal(err)
	}
	if err := factory.SetPolicy(policy); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := factory.SetPolicy(before); err != nil {
			t.Error(err)
		}
	})
}
