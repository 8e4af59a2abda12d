package datanode

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/bulkhead-wal/bulkhead/go/cubefs/factory"
	"github.com/cubefs/cubefs/proto"
)

// keeper tells whose the partition's log is: META is a file of CubeFS's WAL, and a
// directory of Bulkhead's.
func (p *partition) keeper() string {
	p.t.Helper()
	info, err := os.Stat(filepath.Join(p.wal(), "META"))
	if err != nil {
		p.t.Fatal(err)
	}
	if info.IsDir() {
		return "bulkhead"
	}
	return "cubefs"
}

// TestRolloutByReload: a partition of a datanode that runs goes over to Bulkhead
// and back by its reload call, without a restart and without losing an entry.
func TestRolloutByReload(t *testing.T) {
	for _, mode := range []string{"sync", "interval", "none"} {
		t.Run(mode, func(t *testing.T) { rolloutByReload(t, mode) })
	}
}

func rolloutByReload(t *testing.T, mode string) {
	setPolicy(t, factory.Policy{})
	p := createPartition(t)
	p.write(20)
	step := func(want string, policy factory.Policy) {
		t.Helper()
		before := p.last()
		policy.Mode = mode
		setPolicy(t, policy)
		answer := p.get("/reloadDataPartition", "id", p.id)
		p.awaitLeader()
		if p.keeper() != want {
			t.Fatalf("the log is %s's, want %s's: %s", p.keeper(), want, answer)
		}
		p.write(20)
		if now := p.last(); now < before+20 || p.status() != proto.ReadWrite {
			t.Errorf("the log went on at %d, it had been at %d; the status is %d", now, before, p.status())
		}
	}
	all := factory.Share{Percent: 100}
	step("cubefs", factory.Policy{Enabled: true, Shadow: all})
	step("bulkhead", factory.Policy{Enabled: true, Share: all, Import: true})
	step("bulkhead", factory.Policy{Enabled: true, Share: all, Import: true})
	step("bulkhead", factory.Policy{}) // the switch turns new use off, and no more
	step("cubefs", factory.Policy{Export: true})
	step("bulkhead", factory.Policy{Enabled: true, Share: all, Import: true})
	step("cubefs", factory.Policy{Export: true})
}
