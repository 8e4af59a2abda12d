package datanode

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bulkhead-wal/bulkhead/go/cubefs/factory"
	"github.com/bulkhead-wal/bulkhead/go/cubefs/supervisor"
	"github.com/bulkhead-wal/bulkhead/tests/faults/disk"
	"github.com/cubefs/cubefs/proto"
	"golang.org/x/sys/unix"
)

// TestBlamedByAnExtent: the disk fails under one extent, and the log is good. CubeFS
// stops the partition and counts the error, and Bulkhead leaves it alone, after a
// restart as well. It shows what an operator's calls do about it: what docs/cubefs.md
// says of them was seen here.
func TestBlamedByAnExtent(t *testing.T) {
	setPolicy(t, factory.Policy{Enabled: true, Share: factory.Share{Percent: 100}})
	p := createPartition(t)
	e := newExtent(p)
	if err := e.write(); err != nil {
		t.Fatal(err)
	}
	e.syncAndShutdown()
	if err := e.write(); err == nil {
		t.Fatal("a write to an extent on a dead disk went through")
	}
	if p.status() != proto.Unavailable {
		t.Errorf("the write has failed: status %d", p.status())
	}
	is := func(what string, running bool, errorCount uint64) {
		t.Helper()
		// One that is stopped while it is loaded is called ReadWrite until the datanode's next minute tick.
		if p.registered() != running || running && p.status() != proto.ReadWrite || p.errorCount() != errorCount {
			t.Errorf("%s: registered: %v, status %d, %d errors in META", what, p.registered(), p.status(), p.errorCount())
		}
	}
	is("the write has failed", false, 1)

	p.get("/detachDataPartition", "id", p.id)
	e.replaceDisk()
	factory.Supervisor.Forget(node.raft, p.id)
	p.get("/loadDataPartition", "id", p.id, "disk", node.disk)
	is("the datanode is started again", false, 1)
	time.Sleep(2 * time.Second) // the supervisor's first try would be after one
	is("left alone", false, 1)
	if err := factory.Supervisor.BringBack(p.id); !errors.Is(err, supervisor.ErrNotDown) {
		t.Errorf("a call brings it back: %v", err)
	}

	// In place: it runs, and META still has the count.
	p.get("/markDataPartitionBroken", "id", p.id, "status", "true")
	p.awaitLeader()
	is("marked as good", true, 1)
	if err := e.write(); err != nil {
		t.Errorf("marked as good, the extent takes no write: %v", err)
	}
	p.get("/reloadDataPartition", "id", p.id)
	is("loaded with the old count", false, 1)

	// The call that lasts: /disk/recoverBadDisk of the master sends this.
	if err := recoverBadDisk(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the partition is back", func() bool { return p.registered() && p.status() == proto.ReadWrite })
	p.awaitLeader()
	is("recovered by the master's call", true, 0)
	p.write(5)
	if err := e.write(); err != nil {
		t.Errorf("recovered, the extent takes no write: %v", err)
	}
	p.get("/reloadDataPartition", "id", p.id)
	p.awaitLeader()
	is("loaded once more", true, 0)
	if told := node.events.of(p.id, supervisor.Stopped); len(told) > 0 {
		t.Errorf("Bulkhead has stopped it, too: %v", told)
	}
}

// extent is a file of a partition with a filesystem of its own under it.
type extent struct {
	p     *partition
	id    uint64
	size  int64
	image string
	fs    *disk.Mounted
}

// newExtent has the datanode make an extent, and moves it to another disk.
func newExtent(p *partition) *extent {
	p.t.Helper()
	answer, err := p.send(&proto.Packet{Opcode: proto.OpCreateExtent, Data: make([]byte, 8), Size: 8}) // of inode 0
	if err != nil {
		p.t.Fatal(err)
	}
	e := &extent{p: p, id: answer.ExtentID, image: filepath.Join(work, fmt.Sprintf("image_extent_%d", p.id))}
	if err := disk.Make("ext4", e.image, 0); err != nil {
		p.t.Fatal(err)
	}
	p.get("/detachDataPartition", "id", p.id)
	e.mount()
	p.t.Cleanup(func() {
		p.get("/detachDataPartition", "id", p.id)
		e.unmount()
	})
	p.get("/loadDataPartition", "id", p.id, "disk", node.disk)
	p.awaitLeader()
	return e
}

func (e *extent) path() string { return filepath.Join(e.p.dir, fmt.Sprint(e.id)) }

func (e *extent) mount() {
	e.p.t.Helper()
	var err error
	if e.fs, err = disk.Mount("ext4", e.image, e.image+"_mounted", disk.Options{}); err != nil {
		e.p.t.Fatal(err)
	}
	moved := filepath.Join(e.fs.Dir, "extent")
	f, err := os.OpenFile(moved, os.O_CREATE|os.O_RDWR, 0o666)
	if err == nil {
		err = f.Close()
	}
	if err == nil {
		err = unix.Mount(moved, e.path(), "", unix.MS_BIND, "")
	}
	if err != nil {
		e.p.t.Fatal(err)
	}
}

func (e *extent) unmount() {
	e.p.t.Helper()
	if err := unix.Unmount(e.path(), 0); err != nil {
		e.p.t.Error(err)
	}
	if err := e.fs.Unmount(); err != nil {
		e.p.t.Error(err)
	}
}

func (e *extent) replaceDisk() {
	e.p.t.Helper()
	e.unmount()
	e.mount()
}

func (e *extent) syncAndShutdown() {
	e.p.t.Helper()
	f, err := os.Open(e.path())
	if err == nil {
		err = f.Sync()
		_ = f.Close() // nothing was written through it
	}
	if err == nil {
		err = e.fs.Shutdown()
	}
	if err != nil {
		e.p.t.Fatal(err)
	}
}

// write appends a block to the extent, as a client does.
func (e *extent) write() error {
	data := make([]byte, 4096)
	_, err := e.p.send(&proto.Packet{Opcode: proto.OpWrite, ExtentID: e.id, ExtentOffset: e.size, Data: data, Size: uint32(len(data)),
		CRC: crc32.ChecksumIEEE(data)})
	if err == nil {
		e.size += int64(len(data))
	}
	return err
}

// send has the datanode answer a client's request for the partition's one replica.
func (p *partition) send(request *proto.Packet) (*proto.Packet, error) {
	request.PartitionID, request.ExtentType = p.id, proto.NormalExtentType
	request.RemainingFollowers = 127 // what a client says for none
	return exchange(request)
}

// recoverBadDisk is what the master does for /disk/recoverBadDisk.
func recoverBadDisk() error {
	task, err := json.Marshal(proto.NewAdminTask(proto.OpRecoverBadDisk, *hidden[string]("localServerAddr"), &proto.RecoverBadDiskRequest{DiskPath: node.disk}))
	if err != nil {
		return err
	}
	_, err = exchange(&proto.Packet{Opcode: proto.OpRecoverBadDisk, Data: task, Size: uint32(len(task))})
	return err
}

func exchange(request *proto.Packet) (*proto.Packet, error) {
	address := *hidden[string]("localServerAddr")
	c, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	request.Magic, request.ReqID = proto.ProtoMagic, proto.GenerateRequestID()
	request.Arg = []byte(address + "/")
	request.ArgLen = uint32(len(request.Arg))
	if err := request.WriteToConn(c); err != nil {
		return nil, err
	}
	answer := new(proto.Packet)
	if err := answer.ReadFromConn(c, int(limit/time.Second)); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if answer.ResultCode != proto.OpOk {
		return nil, fmt.Errorf("%s: %s", answer.GetResultMsg(), answer.Data)
	}
	return answer, nil
}
