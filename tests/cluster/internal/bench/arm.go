// Package bench measures random overwrites through the FUSE mount: CubeFS's own log against Bulkhead's (row B10).
package bench

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"time"

	"github.com/bulkhead-wal/bulkhead/tests/cluster/internal/cluster"
	"github.com/bulkhead-wal/bulkhead/tests/cluster/internal/load"
)

// allBlocks is what the files have together, in blocks: 64 MiB.
const allBlocks = 16384

// WritersMost is how many writers there may be, each with a file of its own.
const WritersMost = 256

// Sample is one round of one arm.
type Sample struct {
	PerSecond float64 `json:"per_second"`
	P50US     float64 `json:"p50_us"`
	P99US     float64 `json:"p99_us"`
	CPUUS     float64 `json:"cpu_us"` // processor time of all processes of the cluster, per write
	Error     string  `json:"error,omitempty"`
}

// Arm runs one cluster with so many writers, and a round for each line that comes in: a number of seconds. It answers with a line of
// JSON, the first one when the cluster is ready.
func Arm(l cluster.Layout, choice cluster.Choice, writers int) error {
	answer := json.NewEncoder(os.Stdout)
	c, err := cluster.New(l, choice)
	if err == nil {
		err = c.Start(func(string) {})
	}
	var loaded []*load.File
	for i := 0; err == nil && i < writers; i++ {
		path := filepath.Join(l.Mount(), fmt.Sprint("file", i))
		var f *load.File
		if err = load.Create(path, i, allBlocks/writers); err == nil {
			f, err = load.Open(path, i)
			loaded = append(loaded, f)
		}
	}
	if err != nil {
		return answer.Encode(Sample{Error: err.Error()})
	}
	if err := answer.Encode(Sample{}); err != nil {
		return err
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var seconds float64
		if _, err := fmt.Sscan(lines.Text(), &seconds); err != nil {
			return err
		}
		if err := answer.Encode(round(c, loaded, time.Duration(seconds*float64(time.Second)))); err != nil {
			return err
		}
	}
	return lines.Err()
}

// round has all writers overwrite as fast as they can.
func round(c *cluster.Cluster, loaded []*load.File, lasts time.Duration) Sample {
	stop := make(chan struct{})
	ended := make(chan error, len(loaded))
	var before, after int64
	for _, f := range loaded {
		f.Mark()
		before += f.Writes()
	}
	used := c.ProcessorTime()
	begin := time.Now()
	for _, f := range loaded {
		go func() { ended <- f.Run(0, stop) }()
	}
	time.Sleep(lasts)
	close(stop)
	for range loaded {
		if err := <-ended; err != nil {
			return Sample{Error: err.Error()}
		}
	}
	took := time.Since(begin)
	used = c.ProcessorTime() - used
	var latencies []time.Duration
	for _, f := range loaded {
		after += f.Writes()
		latencies = append(latencies, f.Latencies()...)
		if p := f.Problem(); p != nil {
			return Sample{Error: p.Error()}
		}
	}
	if len(latencies) == 0 {
		return Sample{Error: "nothing was written"}
	}
	sort.Slice(latencies, func(i, j int) bool { return latencies[i] < latencies[j] })
	at := func(share int) float64 { return float64(latencies[len(latencies)*share/100].Nanoseconds()) / 1000 }
	writes := float64(after - before)
	return Sample{PerSecond: writes / took.Seconds(), P50US: at(50), P99US: at(99), CPUUS: float64(used.Microseconds()) / writes}
}
