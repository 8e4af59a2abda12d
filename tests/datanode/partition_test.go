package datanode

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bulkhead-wal/bulkhead/go/cubefs/factory"
	"github.com/bulkhead-wal/bulkhead/go/cubefs/supervisor"
	"github.com/bulkhead-wal/bulkhead/tests/faults/disk"
	"github.com/cubefs/cubefs/datanode"
	"github.com/cubefs/cubefs/proto"
	"golang.org/x/sys/unix"
)

// partition is a data partition with one replica whose log has a filesystem of
// its own.
type partition struct {
	t     *testing.T
	id    uint64
	dir   string
	image string
	fs    *disk.Mounted
}

var lastID uint64

// newPartition creates a partition, and puts a filesystem under its log.
func newPartition(t *testing.T) *partition {
	t.Helper()
	p := createPartition(t)
	p.image = filepath.Join(work, fmt.Sprintf("image_%d", p.id))
	if err := disk.Make("ext4", p.image, 0); err != nil {
		t.Fatal(err)
	}
	p.get("/detachDataPartition", "id", p.id)
	if err := os.RemoveAll(p.wal()); err != nil {
		t.Fatal(err)
	}
	p.mount()
	t.Cleanup(func() {
		if p.fs == nil {
			return
		}
		p.get("/detachDataPartition", "id", p.id)
		if err := p.fs.Unmount(); err != nil && !errors.Is(err, disk.ErrBusy) {
			t.Error(err)
		}
	})
	p.get("/loadDataPartition", "id", p.id, "disk", node.disk)
	p.awaitLeader()
	return p
}

func createPartition(t *testing.T) *partition {
	t.Helper()
	lastID++
	p := &partition{t: t, id: lastID, dir: filepath.Join(node.disk, fmt.Sprintf("datapartition_%d_%d", lastID, partitionSize))}
	address := *hidden[string]("localServerAddr")
	_, err := node.space.CreatePartition(&proto.CreateDataPartitionRequest{
		PartitionId: p.id, PartitionSize: partitionSize, VolumeId: "volume", ReplicaNum: 1, Hosts: []string{address},
		Members: []proto.Peer{{ID: nodeID, Addr: address}}, CreateType: proto.NormalCreateDataPartition,
	})
	if err != nil {
		t.Fatal(err)
	}
	p.awaitLeader()
	return p
}

func (p *partition) wal() string { return filepath.Join(p.dir, fmt.Sprintf("wal_%d", p.id)) }

func (p *partition) mount() {
	p.t.Helper()
	var err error
	if p.fs, err = disk.Mount("ext4", p.image, p.wal(), disk.Options{}); err != nil {
		p.t.Fatal(err)
	}
}

// replaceDisk is what an operator does about a filesystem that died: a check, and
// a new mount.
func (p *partition) replaceDisk() {
	p.t.Helper()
	if err := p.fs.Unmount(); err != nil && !errors.Is(err, disk.ErrBusy) {
		p.t.Fatal(err)
	}
	p.mount()
}

// loadedAnew has the partition loaded as a datanode does that was started again: its
// supervisor knows nothing of what was before.
func (p *partition) loadedAnew() {
	p.t.Helper()
	factory.Supervisor.Forget(node.raft, p.id)
	p.get("/reloadDataPartition", "id", p.id)
}

func (p *partition) awaitLeader() {
	p.t.Helper()
	eventually(p.t, "the group has a leader", func() bool { return node.raft.IsLeader(p.id) })
}

// loaded is the partition as the datanode has it now; nil if it has none.
func (p *partition) loaded() *datanode.DataPartition { return node.space.Partition(p.id) }

func (p *partition) registered() bool { return node.raft.FirstCommittedIndex(p.id) != 0 }

// status is the state that the datanode reports to its master.
func (p *partition) status() int {
	if dp := p.loaded(); dp != nil {
		return dp.Status()
	}
	return 0
}

// errorCount is what the partition keeps of disk errors over restarts.
func (p *partition) errorCount() uint64 {
	p.t.Helper()
	text, err := os.ReadFile(filepath.Join(p.dir, "META"))
	if err != nil {
		p.t.Fatal(err)
	}
	var meta datanode.DataPartitionMetadata
	if err := json.Unmarshal(text, &meta); err != nil {
		p.t.Fatal(err)
	}
	return meta.DiskErrCnt
}

var errNoAnswer = errors.New("no answer")

// propose has the group's log take a command, one that does nothing when it is
// applied.
func (p *partition) propose() error {
	command, err := datanode.MarshalRaftCmd(&datanode.RaftCmdItem{K: []byte("test")})
	if err != nil {
		return err
	}
	applied, failed := node.raft.Submit(p.id, command).AsyncResponse()
	select {
	case <-applied:
		return nil
	case err := <-failed:
		return err
	case <-time.After(limit):
		return errNoAnswer
	}
}

// fail proposes until that is refused, and returns when the first refused proposal
// began. In modes interval and none the log may take some more on a dead disk. Raft
// never answers what it takes in after the storing of a commit has ended the group.
func (p *partition) fail() time.Time {
	p.t.Helper()
	var begin time.Time
	eventually(p.t, "a proposal is refused", func() bool {
		begin = time.Now()
		return p.propose() != nil
	})
	return begin
}

// writeBack has the filesystem write what only the page cache holds, as the kernel
// does after some seconds: mode none waits for nothing else.
func (p *partition) writeBack() {
	p.t.Helper()
	dir, err := os.Open(p.wal())
	if err == nil {
		err = unix.Syncfs(int(dir.Fd()))
		_ = dir.Close() // nothing was written through it
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// staysDown waits until the partition was tried, and kept out for a reason.
func (p *partition) staysDown(why error) {
	p.t.Helper()
	eventually(p.t, "it is kept out: "+why.Error(), func() bool {
		tries := node.events.of(p.id, supervisor.ReturnFailed)
		return errors.Is(tries[len(tries)-1].Err, why)
	})
	if p.registered() {
		p.t.Error("the group was started on a log that has lost entries")
	}
}

// last is the last index in the log that is committed.
func (p *partition) last() uint64 { return node.raft.CommittedIndex(p.id) }

func (p *partition) write(count int) {
	p.t.Helper()
	before := p.last()
	for i := 0; i < count; i++ {
		if err := p.propose(); err != nil {
			p.t.Fatal(err)
		}
	}
	if now := p.last(); now < before+uint64(count) {
		p.t.Fatalf("%d commands took the log from %d to %d", count, before, now)
	}
}

// get calls the datanode as an operator would; names and values alternate.
func (p *partition) get(path string, parameters ...interface{}) string {
	p.t.Helper()
	request := httptest.NewRequest(http.MethodGet, path, nil)
	query := request.URL.Query()
	for i := 0; i+1 < len(parameters); i += 2 {
		query.Set(fmt.Sprint(parameters[i]), fmt.Sprint(parameters[i+1]))
	}
	request.URL.RawQuery = query.Encode()
	w := httptest.NewRecorder()
	http.DefaultServeMux.ServeHTTP(w, request)
	body, err := io.ReadAll(w.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(body)
}

// told waits for an event, and returns it.
func (p *partition) told(kind supervisor.Kind) supervisor.Event {
	p.t.Helper()
	eventually(p.t, "it is told: "+kind.String(), func() bool { return len(node.events.of(p.id, kind)) > 0 })
	return node.events.of(p.id, kind)[0]
}
