// Command raftgroup shows what becomes of a raft group of CubeFS's, three replicas on loopback, when the log of one replica
// gets EIO from a write: with CubeFS's own WAL, or with Bulkhead in its place. strace injects the error into the writes to that
// one log (it must be root, or allowed to trace). It prints one line of JSON: the outcome, and why.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
	"github.com/bulkhead-wal/bulkhead/go/cubefs"
	"github.com/bulkhead-wal/bulkhead/go/cubefs/raftest"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/logger"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/proto"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage/wal"
)

const (
	group     = 1
	nodes     = 3
	startWait = 20 * time.Second
	tellWait  = 10 * time.Second // how long the owner is given to hear of it
	proposals = 50
	calls     = "write,writev,pwrite64,pwritev,pwritev2,fsync,fdatasync"
)

func main() {
	system := flag.String("system", "cubefs", "whose WAL: cubefs (as CubeFS ships it) or bulkhead (mode none)")
	dir := flag.String("dir", "", "an empty directory")
	flag.Parse()
	if *dir == "" || (*system != "cubefs" && *system != "bulkhead") {
		flag.Usage()
		os.Exit(2)
	}
	logger.SetLogger(quiet{})
	outcome, why, err := run(*system, *dir)
	if err != nil {
		outcome, why = "broken", err.Error()
	}
	line, _ := json.Marshal(map[string]string{"outcome": outcome, "why": why}) // strings always encode
	fmt.Println(string(line))
}

func run(system, dir string) (outcome, why string, err error) {
	w := &watch{}
	open := w.openCubeFS
	if system == "bulkhead" {
		open = w.openBulkhead
	}
	c, err := raftest.Start(raftest.Config{Dir: dir, Nodes: nodes, Groups: 1, RetainLogs: 10000, Open: open})
	if err != nil {
		return "", "", err
	}
	if err := propose(c); err != nil {
		return "", "", err
	}
	sick := c.Leader(group)
	if sick == nil {
		return "", "", fmt.Errorf("no leader")
	}
	lift, err := inject(sick.Dir(group))
	if err != nil {
		return "", "", err
	}
	defer lift()
	if err := propose(c); err != nil {
		return "lost", "the group takes no more proposals: " + err.Error(), nil
	}
	told := w.await(sick, tellWait)
	time.Sleep(time.Second) // for a replica that is only behind
	return w.judge(c, sick, told)
}

// propose has the group apply some commands.
func propose(c *raftest.Cluster) error {
	for i := 0; i < proposals; i++ {
		if err := c.Propose(group, make([]byte, 4096), startWait); err != nil {
			return err
		}
	}
	return nil
}

// inject makes all writes to the files of a log fail from now on.
func inject(dir string) (lift func(), err error) {
	words := []string{"-f", "-p", fmt.Sprint(os.Getpid()), "-o", "/dev/null", "-e", "trace=" + calls, "-e", "inject=" + calls + ":error=EIO"}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		words = append(words, "-P", file)
	}
	strace := exec.Command("strace", words...)
	stderr, err := strace.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := strace.Start(); err != nil {
		return nil, err
	}
	buffer := make([]byte, 4096)
	n, err := stderr.Read(buffer)
	if err != nil || !strings.Contains(string(buffer[:n]), "attached") {
		return nil, fmt.Errorf("strace did not attach: %s", buffer[:n])
	}
	return func() { _ = strace.Process.Signal(os.Interrupt); _ = strace.Wait() }, nil
}

// watch sees what raft gets from its storages, and what their owner is told.
type watch struct {
	mu    sync.Mutex
	first error // of a storage's call
	told  string
}

// observed passes every call on and notes the first error that raft gets.
type observed struct {
	storage.Storage
	w *watch
}

func (o observed) StoreEntries(entries []*proto.Entry) error {
	return o.w.note(o.Storage.StoreEntries(entries))
}

func (o observed) StoreHardState(state proto.HardState) error {
	return o.w.note(o.Storage.StoreHardState(state))
}

func (w *watch) note(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil && w.first == nil {
		w.first = err
	}
	return err
}

func (w *watch) openCubeFS(_, _ uint64, dir string, _ uint64) (storage.Storage, error) {
	s, err := wal.NewStorage(dir, &wal.Config{}) // as raftstore does
	if err != nil {
		return nil, err
	}
	return observed{s, w}, nil
}

func (w *watch) openBulkhead(_, id uint64, dir string, applied uint64) (storage.Storage, error) {
	s, err := cubefs.NewStorage(dir, &cubefs.Config{Mode: bulkhead.ModeNone, AppliedIndex: applied, PartitionID: id, OnFault: func(f cubefs.Fault) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.told == "" {
			w.told = fmt.Sprintf("%v, %v", f.State, f.Cause)
		}
	}})
	if err != nil {
		return nil, err
	}
	return observed{s, w}, nil
}

// await waits until the owner of the sick replica is told, and returns what.
func (w *watch) await(sick *raftest.Node, limit time.Duration) string {
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		w.mu.Lock()
		told := w.told
		w.mu.Unlock()
		if told == "" && sick.Machine(group).Fatal() > 0 {
			told = "HandleFatalEvent"
		}
		if told != "" {
			return told
		}
	}
	return ""
}

func (w *watch) judge(c *raftest.Cluster, sick *raftest.Node, told string) (outcome, why string, err error) {
	w.mu.Lock()
	first := w.first
	w.mu.Unlock()
	own, group0 := sick.Machine(group).Digest().Applied, uint64(0)
	for _, n := range c.Nodes() {
		group0 = max(group0, n.Machine(group).Digest().Applied)
	}
	switch {
	case told != "":
		return "held", fmt.Sprintf("the owner was told (%s); the group went on to %d, this replica is at %d", told, group0, own), nil
	case first == nil && own == group0:
		return "held", "the writes were healed inside the calls; nobody noticed", nil
	default:
		return "failed", fmt.Sprintf("raft got %q and ended the group on that node, silently: in %v nobody was told, "+
			"HandleFatalEvent was not called, the replica stays at %d while the group went on to %d", fmt.Sprint(first), tellWait, own, group0), nil
	}
}

// quiet drops what CubeFS's raft would log.
type quiet struct{}

func (quiet) IsEnableDebug() bool          { return false }
func (quiet) IsEnableInfo() bool           { return false }
func (quiet) IsEnableWarn() bool           { return false }
func (quiet) Debug(string, ...interface{}) {}
func (quiet) Info(string, ...interface{})  {}
func (quiet) Warn(string, ...interface{})  {}
func (quiet) Error(string, ...interface{}) {}
