package monitoring

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
	"github.com/bulkhead-wal/bulkhead/go/metrics"
	"github.com/bulkhead-wal/bulkhead/tests/faults/disk"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// diskNames are the disks of the plant; each is an ext4 on a loop device, and all
// but the first fail in the way of their name.
var diskNames = []string{"sound", "full", "dead", "hung"}

// plant is a process with partitions under load on disks that fail.
type plant struct {
	t       *testing.T
	dir     string
	engine  *bulkhead.Engine
	target  string
	mounts  map[string]*disk.Mounted
	stop    chan struct{}
	writers sync.WaitGroup

	mu         sync.Mutex
	partitions map[string][]*bulkhead.Partition
}

func startPlant(t *testing.T) *plant {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("it mounts filesystems: run it as root")
	}
	p := &plant{t: t, mounts: map[string]*disk.Mounted{}, partitions: map[string][]*bulkhead.Partition{}, stop: make(chan struct{})}
	var err error
	if p.dir, err = os.MkdirTemp("", "bulkhead-monitoring"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(p.dir) })
	if p.engine, err = bulkhead.Open(bulkhead.EngineConfig{StallLimit: time.Second, SlowDisk: 300 * time.Millisecond, SegmentMaxBytes: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.end)
	if _, err := p.engine.LogTo(func(level bulkhead.LogLevel, line string) { t.Logf("%d %s", level, line) }); err != nil {
		t.Fatal(err)
	}
	for _, name := range diskNames {
		p.mount(name)
		p.fill(name)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(metrics.NewCollector(p.engine, nil))
	p.target = freeAddress(t)
	server := &http.Server{Addr: p.target, Handler: promhttp.HandlerFor(registry, promhttp.HandlerOpts{})}
	go func() { _ = server.ListenAndServe() }() // ends with Close
	t.Cleanup(func() { _ = server.Close() })
	return p
}

func (p *plant) mount(name string) {
	p.t.Helper()
	image := filepath.Join(p.dir, name+".img")
	if err := disk.Make("ext4", image, 0); err != nil {
		p.t.Fatal(err)
	}
	m, err := disk.Mount("ext4", image, filepath.Join(p.dir, name), disk.Options{})
	if err != nil {
		p.t.Fatal(err)
	}
	p.mounts[name] = m
}

// fill opens the partitions of a disk.
func (p *plant) fill(name string) {
	p.t.Helper()
	for i := range diskNames {
		for k, mode := range []bulkhead.Mode{bulkhead.ModeSync, bulkhead.ModeSync, bulkhead.ModeInterval, bulkhead.ModeNone} {
			if diskNames[i] == name {
				p.open(name, uint64(10*i+k+1), mode)
			}
		}
	}
}

func (p *plant) open(name string, id uint64, mode bulkhead.Mode) {
	p.t.Helper()
	path := filepath.Join(p.dir, name, "wal_"+string(rune('a'+id%10)))
	partition, err := p.engine.OpenPartition(bulkhead.PartitionConfig{Path: path, ID: id, Mode: mode})
	if err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	p.partitions[name] = append(p.partitions[name], partition)
	p.mu.Unlock()
	p.writers.Add(1)
	go p.write(partition)
}

// write is the load on one partition, whatever becomes of it.
func (p *plant) write(partition *bulkhead.Partition) {
	defer p.writers.Done()
	payload := make([]byte, 2000)
	for n := 0; ; n++ {
		select {
		case <-p.stop:
			return
		case <-time.After(3 * time.Millisecond):
		}
		first, last, err := partition.Bounds()
		if err != nil {
			return // closed
		}
		if err := partition.Append([]bulkhead.Entry{{Index: last + 1, Term: 1, Data: payload}}); err != nil {
			continue
		}
		if n%5 == 0 {
			_, _ = partition.Read(last+1, last+2, 1<<20) // what it says is in the metrics
		}
		if last-first > 1000 { // before the disk is full of it
			_ = partition.Compact(last - 250)
		}
	}
}

// freeze keeps every write to a disk in the kernel until thaw.
func (p *plant) freeze(name string) { p.tool("fsfreeze", "-f", filepath.Join(p.dir, name)) }
func (p *plant) thaw(name string)   { p.tool("fsfreeze", "-u", filepath.Join(p.dir, name)) }

func (p *plant) tool(name string, args ...string) {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		p.t.Errorf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
}

// close closes the partitions of a disk; the dead ones say so.
func (p *plant) close(name string) {
	p.mu.Lock()
	partitions := p.partitions[name]
	p.partitions[name] = nil
	p.mu.Unlock()
	for _, partition := range partitions {
		_ = partition.Close()
	}
}

func (p *plant) end() {
	close(p.stop)
	p.writers.Wait()
	for name := range p.mounts {
		p.close(name)
	}
	if err := p.engine.Close(); err != nil {
		p.t.Errorf("closing the engine: %v", err)
	}
	for name, m := range p.mounts {
		if err := m.Unmount(); err != nil {
			p.t.Errorf("%s: %v", name, err)
		}
	}
}
