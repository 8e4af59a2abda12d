package raftest

import (
	"errors"
	"testing"

	"github.com/bulkhead-wal/bulkhead/go/cubefs/factory"
	"github.com/bulkhead-wal/bulkhead/go/cubefs/registry"
	"github.com/cubefs/cubefs/depends/tiglabs/raft"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage/wal"
)

// TestLogOfARunningGroupIsNotConverted: the datanode opens the log of a group that
// runs when it is told to start one that it takes for stopped. An import, or an
// export, would take the files from under the group, which goes on acknowledging.
func TestLogOfARunningGroupIsNotConverted(t *testing.T) {
	set := func(p factory.Policy) {
		if err := factory.SetPolicy(p); err != nil {
			t.Fatal(err)
		}
	}
	imports := factory.Policy{Enabled: true, Share: factory.Share{Percent: 100}, Import: true, DiscardOriginal: true}
	exports := factory.Policy{Export: true, DiscardOriginal: true}
	for name, policies := range map[string][2]factory.Policy{"import": {{}, imports}, "export": {imports, exports}} {
		t.Run(name, func(t *testing.T) {
			t.Cleanup(func() { set(factory.Policy{}) })
			set(policies[0])
			c := start(t, Config{Groups: 1, OpenOn: func(n *Node, group uint64, dir string, _ uint64) (storage.Storage, error) {
				return registry.NewStorage(dir, &wal.Config{}, registry.Group{ID: group, Server: n.Server(), StateMachine: n.Machine(group)})
			}})
			proposeAll(t, c, numbers(1), 20)
			agree(t, c, numbers(1), 20)
			set(policies[1])
			n := c.Node(1)
			s, err := registry.NewStorage(n.Dir(1), &wal.Config{}, registry.Group{ID: 1, Server: n.Server(), StateMachine: n.Machine(1)})
			if err == nil {
				s.Close() // as raft does, when it finds the group
			}
			if !errors.Is(err, raft.ErrRaftExists) {
				t.Errorf("the log of a group that runs: %T, %v", s, err)
			}
			proposeAll(t, c, numbers(1), 20)
			agree(t, c, numbers(1), 40)
			acknowledged := n.Server().CommittedIndex(1)
			c.Stop()
			again, err := registry.NewStorage(n.Dir(1), &wal.Config{}, registry.Group{ID: 1})
			if err != nil {
				t.Fatal(err)
			}
			defer again.Close()
			if last, _ := again.LastIndex(); last < acknowledged {
				t.Errorf("the log ends at %d, and %d was acknowledged", last, acknowledged)
			}
		})
	}
}
