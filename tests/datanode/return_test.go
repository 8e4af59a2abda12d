package datanode

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bulkhead-wal/bulkhead/go/cubefs/factory"
	"github.com/bulkhead-wal/bulkhead/go/cubefs/registry"
	"github.com/bulkhead-wal/bulkhead/go/cubefs/supervisor"
	"github.com/cubefs/cubefs/proto"
)

// TestReturnOfAPartitionThatRuns: another hand starts a blamed partition in the moment
// that the supervisor does. It must not be started a second time: CubeFS would lose its
// raft group, and end with the next heartbeat, which asks every partition for its leader.
func TestReturnOfAPartitionThatRuns(t *testing.T) {
	setPolicy(t, factory.Policy{Enabled: true, Share: factory.Share{Percent: 100}, BringBack: "by call"})
	p := stoppedPartition(t)
	p.get("/markDataPartitionBroken", "id", p.id, "status", "true")
	p.awaitLeader()
	if n := p.errorCount(); n != 1 {
		t.Fatalf("%d errors in META", n)
	}
	owner := supervisor.Datanode(registry.Group{ID: p.id, WalPath: p.dir, StateMachine: p.loaded(), Server: node.raft})
	if err := owner.Return(false); err != nil {
		t.Error(err)
	}
	if p.loaded() == nil {
		t.Fatal("the datanode has lost the partition")
	}
	p.loaded().IsRaftLeader()
	p.awaitLeader()
	p.write(5)
	if p.status() != proto.ReadWrite || p.errorCount() != 0 {
		t.Errorf("it runs with status %d and %d errors", p.status(), p.errorCount())
	}
}

// TestDetachedOnPurpose: a partition is detached while it is down, as one is that will be
// removed. It must not be attached again but by call.
func TestDetachedOnPurpose(t *testing.T) {
	policy := factory.Policy{Enabled: true, Share: factory.Share{Percent: 100}, BringBack: "by call"}
	setPolicy(t, policy)
	p := stoppedPartition(t)
	p.get("/detachDataPartition", "id", p.id)
	policy.BringBack = "automatic"
	setPolicy(t, policy)
	p.told(supervisor.ReturnFailed)
	time.Sleep(3 * time.Second)
	if p.loaded() != nil || p.errorCount() != 1 {
		t.Errorf("attached: %v, %d errors in META", p.loaded() != nil, p.errorCount())
	}
	if err := factory.Supervisor.BringBack(p.id); err != nil {
		t.Fatal(err)
	}
	p.told(supervisor.Returned)
	p.awaitLeader()
	p.write(5)
}

// TestReloadThatFailsBeforeTheLog: the supervisor's own reload fails, which detaches the
// partition, and the log had no part in it. It must be attached again.
func TestReloadThatFailsBeforeTheLog(t *testing.T) {
	policy := factory.Policy{Enabled: true, Share: factory.Share{Percent: 100}, BringBack: "by call"}
	setPolicy(t, policy)
	p := stoppedPartition(t)
	applied := filepath.Join(p.dir, "APPLY") // a directory cannot be read, nor be replaced by a file
	if err := os.Rename(applied, applied+".kept"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(applied, 0o755); err != nil {
		t.Fatal(err)
	}
	policy.BringBack = "automatic"
	setPolicy(t, policy)
	p.told(supervisor.ReturnFailed)
	if p.loaded() != nil {
		t.Fatal("the reload has not detached it")
	}
	if err := os.Remove(applied); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(applied+".kept", applied); err != nil {
		t.Fatal(err)
	}
	p.told(supervisor.Returned)
	p.awaitLeader()
	p.write(5)
}
