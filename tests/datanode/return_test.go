package datanode

import (
	"testing"

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
	if err := owner.Return(); err != nil {
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
