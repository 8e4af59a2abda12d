// Package datanode tests the life cycle of data partitions in CubeFS's own
// datanode.
package datanode

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"testing"
	"time"
	"unsafe"

	_ "github.com/bulkhead-wal/bulkhead/go/cubefs/exporter" // as a CubeFS server has it
	"github.com/bulkhead-wal/bulkhead/go/cubefs/factory"
	"github.com/bulkhead-wal/bulkhead/go/cubefs/supervisor"
	"github.com/bulkhead-wal/bulkhead/tests/faults/disk"
	"github.com/bulkhead-wal/bulkhead/tests/faults/runner"
	"github.com/cubefs/cubefs/datanode"
	"github.com/cubefs/cubefs/depends/tiglabs/raft"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/logger"
	"github.com/cubefs/cubefs/proto"
	"github.com/cubefs/cubefs/raftstore"
	"github.com/cubefs/cubefs/util/auditlog"
	"github.com/cubefs/cubefs/util/config"
	"github.com/cubefs/cubefs/util/exporter"
	"github.com/cubefs/cubefs/util/log"
)

const (
	localIP       = "127.0.0.1"
	nodeID        = 5
	partitionSize = 1 << 30
	limit         = 30 * time.Second
)

var work string

// The process has one datanode: much of it is global.
var node struct {
	server  *datanode.DataNode
	disk    string
	raft    *raft.RaftServer
	space   *datanode.SpaceManager
	metrics string // the URL of its exporter's page
	events  history
}

func TestMain(m *testing.M) {
	work = filepath.Join("..", "..", "target", "datanode", "work")
	absolute, err := filepath.Abs(work)
	if err == nil {
		work = absolute
		err = runner.Isolate(work)
	}
	if err == nil {
		err = os.Chdir(work) // the datanode writes its statistics where it runs
	}
	if err == nil {
		err = startNode()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "FAIL:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

type silent struct{}

func (silent) IsEnableDebug() bool          { return false }
func (silent) IsEnableInfo() bool           { return false }
func (silent) IsEnableWarn() bool           { return false }
func (silent) Debug(string, ...interface{}) {}
func (silent) Info(string, ...interface{})  {}
func (silent) Warn(string, ...interface{})  {}
func (silent) Error(string, ...interface{}) {}

func startNode() error {
	node.disk = filepath.Join(work, "disk")
	logs := filepath.Join(work, "logs")
	if err := os.MkdirAll(logs, 0o755); err != nil {
		return err
	}
	// A datanode does not use a disk's last 5 GiB.
	image := filepath.Join(work, "image_disk")
	if err := disk.Make("xfs", image, 12<<30); err != nil {
		return err
	}
	if _, err := disk.Mount("xfs", image, node.disk, disk.Options{}); err != nil {
		return err
	}
	if _, err := log.InitLog(logs, "dataNode", log.WarnLevel, log.NewLogRotate(), 0.01); err != nil {
		return err
	}
	if _, err := auditlog.InitAudit(logs, "dataNode", auditlog.DefaultAuditLogSize); err != nil {
		return err
	}
	proto.InitBufferPool(0)
	if err := factory.SetPolicy(factory.Policy{Enabled: true, Share: factory.Share{Percent: 100}}); err != nil {
		return err
	}
	factory.OnEvent(node.events.add)
	factory.OnWarning(func(text string) { exporter.Warning(text) })
	master, err := startMaster()
	if err != nil {
		return err
	}
	var ports [4]string
	for i := range ports {
		if ports[i], err = freePort(); err != nil {
			return err
		}
	}
	text, err := json.Marshal(map[string]interface{}{
		"role": "datanode", "localIP": localIP, "bindIp": true, "listen": ports[0], "raftHeartbeat": ports[1], "raftReplica": ports[2], "exporterPort": ports[3],
		"raftDir": filepath.Join(work, "raft"), "masterAddr": []string{master}, "disks": []string{node.disk + ":1"},
		"diskUnavailablePartitionErrorCount": 100, // three in production; the tests share one disk
	})
	if err != nil {
		return err
	}
	cfg := config.LoadConfigString(string(text))
	node.metrics = "http://" + net.JoinHostPort(localIP, ports[3]) + "/metrics"
	exporter.Init("dataNode", cfg)
	node.server = datanode.NewServer()
	if err := node.server.Start(cfg); err != nil {
		return err
	}
	logger.SetLogger(silent{})
	node.raft = (*hidden[raftstore.RaftStore]("raftStore")).RaftServer()
	node.space = *hidden[*datanode.SpaceManager]("space")
	return nil
}

// hidden gives access to a field of the datanode that is not exported.
func hidden[T any](name string) *T {
	field := reflect.ValueOf(node.server).Elem().FieldByName(name)
	return (*T)(unsafe.Pointer(field.UnsafeAddr()))
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", localIP+":0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

// history collects events.
type history struct {
	mu   sync.Mutex
	list []supervisor.Event
}

func (h *history) add(e supervisor.Event) {
	h.mu.Lock()
	h.list = append(h.list, e)
	h.mu.Unlock()
}

func (h *history) of(id uint64, kind supervisor.Kind) (found []supervisor.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.list {
		if e.ID == id && e.Kind == kind {
			found = append(found, e)
		}
	}
	return found
}

// eventually waits for a condition and returns how long that took.
func eventually(t *testing.T, what string, condition func() bool) time.Duration {
	t.Helper()
	begin := time.Now()
	for !condition() {
		if time.Since(begin) > limit {
			t.Fatalf("not in %v: %s", limit, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(begin)
}
