package raftest

import (
	"flag"
	"fmt"
	"math/rand"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
	"github.com/bulkhead-wal/bulkhead/go/cubefs"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage/wal"
)

var (
	benchArms = flag.String("b10.arms", "cubefs,cubefs-sync,bulkhead-sync,bulkhead-none", "the arms of BenchmarkB10; the first one is what ratios are taken to")
	benchSlot = flag.Duration("b10.slot", time.Second, "how long an arm's turn lasts")
	inFlight  = flag.Int("b10.in-flight", 1, "proposals of each group that are under way at a time")
)

const (
	benchGroups = 64
	benchBytes  = 4096
	benchRetain = 1000
	// As in raftstore: on a busy machine shorter ones measure elections.
	benchTick = 300 * time.Millisecond
)

// openWAL opens CubeFS's own logs.
func openWAL(sync bool) OpenStorage {
	return func(_, _ uint64, dir string, _ uint64) (storage.Storage, error) {
		return wal.NewStorage(dir, &wal.Config{Sync: sync})
	}
}

// benchArm is a cluster of three nodes, all in this process, that keeps its logs in one way.
type benchArm struct {
	name    string
	cluster *Cluster
	rates   []float64 // proposals per second, by round
	cpu     []float64 // microseconds of processor time per proposal
	took    []time.Duration
}

// BenchmarkB10 is row B10 without a file system above: CubeFS's raft, three nodes on loopback, 64 groups with one proposal of 4 KiB in
// flight each, or -b10.in-flight of them. The arms take turns, -benchtime 7x is seven rounds. The processor time is that of the whole process: raft and transport of
// all three nodes, and the arms' idle clusters.
func BenchmarkB10(b *testing.B) {
	var arms []*benchArm
	for _, name := range strings.Split(*benchArms, ",") {
		arm := &benchArm{name: name}
		config := Config{Dir: filepath.Join(b.TempDir(), name), Nodes: 3, Groups: benchGroups, RetainLogs: benchRetain, Tick: benchTick}
		fault := func(node uint64, f cubefs.Fault) { b.Errorf("%s, node %d: %+v", name, node, f) }
		switch name {
		case "cubefs":
			config.Open = openWAL(false)
		case "cubefs-sync":
			config.Open = openWAL(true)
		case "bulkhead-sync":
			config.Open = bulkheadStorage(bulkhead.ModeSync, fault)
		case "bulkhead-none":
			config.Open = bulkheadStorage(bulkhead.ModeNone, fault)
		default:
			b.Fatalf("there is no arm %q", name)
		}
		var err error
		if arm.cluster, err = Start(config); err != nil {
			b.Fatal(err)
		}
		defer arm.cluster.Stop()
		arms = append(arms, arm)
	}
	for _, arm := range arms { // elections, first segments
		if err := arm.turn(*benchSlot, false); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	for round := 0; round < b.N; round++ {
		for i := range arms {
			arm := arms[(i+round)%len(arms)]
			if err := arm.turn(*benchSlot, true); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.StopTimer()
	for _, arm := range arms {
		sort.Slice(arm.took, func(i, j int) bool { return arm.took[i] < arm.took[j] })
		ratios := make([]float64, b.N)
		for i := range ratios {
			ratios[i] = arm.rates[i] / arms[0].rates[i]
		}
		sort.Float64s(ratios)
		us := func(q float64) int64 { return arm.took[int(q*float64(len(arm.took)-1))].Microseconds() }
		b.Logf("%-14s %7.0f proposals/s, p50 %5d us, p99 %6d us, %4.0f us of processor time each, %.2f (%.2f to %.2f) of %s", arm.name,
			middle(arm.rates), us(0.5), us(0.99), middle(arm.cpu), ratios[b.N/2], ratios[0], ratios[b.N-1], arms[0].name)
	}
}

// turn proposes to all groups for a while.
func (a *benchArm) turn(length time.Duration, count bool) error {
	var (
		mu     sync.Mutex
		wg     sync.WaitGroup
		failed error
		took   []time.Duration
	)
	cpu, begin := processorTime(), time.Now()
	end := begin.Add(length)
	for i := 0; i < benchGroups**inFlight; i++ {
		wg.Add(1)
		go func(g uint64) {
			defer wg.Done()
			payload := make([]byte, benchBytes)
			_, _ = rand.Read(payload) // never fails
			var own []time.Duration
			for time.Now().Before(end) {
				before := time.Now()
				if err := a.cluster.Propose(g, payload, limit); err != nil {
					mu.Lock()
					failed = fmt.Errorf("%s, group %d: %w", a.name, g, err)
					mu.Unlock()
					return
				}
				own = append(own, time.Since(before))
			}
			mu.Lock()
			took = append(took, own...)
			mu.Unlock()
		}(uint64(i%benchGroups + 1))
	}
	wg.Wait()
	for g := uint64(1); g <= benchGroups; g++ {
		a.truncate(g)
	}
	elapsed := time.Since(begin)
	if count {
		a.rates = append(a.rates, float64(len(took))/elapsed.Seconds())
		a.cpu = append(a.cpu, float64((processorTime()-cpu).Microseconds())/float64(len(took)))
		a.took = append(a.took, took...)
	}
	return failed
}

// truncate drops what all nodes have applied, as a datanode does every minute.
func (a *benchArm) truncate(group uint64) {
	applied := a.cluster.Node(1).Machine(group).Digest().Applied
	for _, n := range a.cluster.Nodes() {
		if other := n.Machine(group).Digest().Applied; other < applied {
			applied = other
		}
	}
	for _, n := range a.cluster.Nodes() {
		n.Server().Truncate(group, applied)
	}
}

func processorTime() time.Duration {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func middle(values []float64) float64 {
	sorted := append([]float64(nil), values...)
	sort.Float64s(sorted)
	return sorted[len(sorted)/2]
}
