package bulkhead

import (
	"fmt"
	"runtime"
	"sort"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// renumber gives a batch the next indexes.
func renumber(batch []Entry, next *uint64) {
	for i := range batch {
		batch[i].Index = *next
		*next++
	}
}

// keepLog bounds what a benchmark leaves on disk.
func keepLog(b *testing.B, p *Partition, next uint64, bytes int) {
	if bytes < 256<<20 {
		return
	}
	b.StopTimer()
	if err := p.SetHardState(HardState{Term: 1, Vote: 1, Commit: next - 1}); err != nil {
		b.Fatal(err)
	}
	if err := p.Compact(next - 1); err != nil {
		b.Fatal(err)
	}
	b.StartTimer()
}

func benchmarkAppend(b *testing.B, p *Partition, count, size int, appendIt func([]Entry) error) {
	batch, next, written := makeEntries(0, uint64(count), 1, size), uint64(1), 0
	b.SetBytes(int64(count * size))
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		renumber(batch, &next)
		if err := appendIt(batch); err != nil {
			b.Fatal(err)
		}
		if written += count * size; written >= 256<<20 {
			keepLog(b, p, next, written)
			written = 0
		}
	}
}

// BenchmarkAppend is B4's Bulkhead arm without the adapter, and B5's Go arm.
func BenchmarkAppend(b *testing.B) {
	for _, mode := range []Mode{ModeNone, ModeSync} {
		for _, c := range []struct{ count, size int }{{1, 128}, {1, 4096}, {1, 65536}, {16, 4096}, {64, 128}, {64, 4096}} {
			b.Run(fmt.Sprintf("%v/%dx%d", mode, c.count, c.size), func(b *testing.B) {
				p := openPartition(b, openEngine(b, EngineConfig{}), mode)
				benchmarkAppend(b, p, c.count, c.size, p.Append)
			})
		}
	}
}

// BenchmarkHandOver finds where pinning payloads gets cheaper than copying them:
// pinFromBytes.
func BenchmarkHandOver(b *testing.B) {
	for _, size := range []int{64, 256, 512, 1024, 2048, 4096, 16384} {
		for _, pin := range []bool{false, true} {
			if pin && !canPin {
				continue
			}
			b.Run(fmt.Sprintf("16x%d/pin=%v", size, pin), func(b *testing.B) {
				p := openPartition(b, openEngine(b, EngineConfig{}), ModeNone)
				appendIt := func(batch []Entry) error { return p.appendPacked(batch, uint64(16*size)) }
				if pin {
					appendIt = p.appendPinned
				}
				benchmarkAppend(b, p, 16, size, appendIt)
			})
		}
	}
}

// BenchmarkPartitions is B3 and B5 through Go: one goroutine per partition, each
// with one durable 4 KiB entry in flight.
func BenchmarkPartitions(b *testing.B) {
	for _, count := range []int{1, 8, 64} {
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			e := openEngine(b, EngineConfig{})
			var all []*Partition
			for i := 0; i < count; i++ {
				all = append(all, openPartition(b, e, ModeSync))
			}
			b.SetBytes(4096)
			b.ResetTimer()
			var wg sync.WaitGroup
			for _, p := range all {
				wg.Add(1)
				go func(p *Partition) {
					defer wg.Done()
					batch, next := makeEntries(0, 1, 1, 4096), uint64(1)
					for i := 0; i < b.N/count+1; i++ {
						renumber(batch, &next)
						if err := p.Append(batch); err != nil {
							b.Error(err)
							return
						}
					}
				}(p)
			}
			wg.Wait()
		})
	}
}

func BenchmarkRead(b *testing.B) {
	for _, c := range []struct{ count, size int }{{1, 4096}, {64, 4096}, {250, 4096}, {64, 128}} {
		b.Run(fmt.Sprintf("%dx%d", c.count, c.size), func(b *testing.B) {
			p := openPartition(b, openEngine(b, EngineConfig{}), ModeNone)
			mustAppend(b, p, makeEntries(1, uint64(c.count)+1, 1, c.size))
			b.SetBytes(int64(c.count * c.size))
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i++ {
				if got, err := p.Read(1, uint64(c.count)+1, 1<<40); err != nil || len(got) != c.count {
					b.Fatal(len(got), err)
				}
			}
		})
	}
}

// BenchmarkCall is the price of the way into the library and back.
func BenchmarkCall(b *testing.B) {
	p := openPartition(b, openEngine(b, EngineConfig{}), ModeNone)
	for i := 0; i < b.N; i++ {
		if _, _, err := p.Bounds(); err != nil {
			b.Fatal(err)
		}
	}
}

// threadTime is the processor time of the calling thread: on a busy machine the
// time that passes says how long it waited for a processor.
func threadTime() time.Duration {
	var now syscall.Timespec
	const threadCPUTime = 3
	_, _, _ = syscall.Syscall(syscall.SYS_CLOCK_GETTIME, threadCPUTime, uintptr(unsafe.Pointer(&now)), 0)
	return time.Duration(now.Nano())
}

// BenchmarkMetricsOf10000: reading the text of all metrics while 10,000
// partitions are open, one in 20 with entries, and what it does to the appends
// of one that is busy meanwhile: its longest append with and without.
//
//	go test -run NONE -bench MetricsOf10000 -benchtime 101x .
func BenchmarkMetricsOf10000(b *testing.B) {
	const partitions, appends = 10000, 200
	dir := b.TempDir() // goes after the engine is closed
	e := openEngine(b, EngineConfig{})
	var opening sync.WaitGroup
	for k := 0; k < 32; k++ {
		opening.Add(1)
		go func(k int) {
			defer opening.Done()
			for id := k + 1; id <= partitions; id += 32 {
				p, err := e.OpenPartition(PartitionConfig{Path: fmt.Sprintf("%s/wal_%d", dir, id), ID: uint64(id), Mode: ModeNone})
				if err == nil && id%20 == 0 {
					err = p.Append(makeEntries(1, 4, 1, 100))
				}
				if err != nil {
					b.Error(err)
					return
				}
			}
		}(k)
	}
	opening.Wait()
	busy := openPartition(b, e, ModeNone)
	next, entry := uint64(1), makeEntries(1, 2, 1, 128)
	longest := func() (most time.Duration) {
		for i := 0; i < appends; i++ {
			begun := time.Now()
			renumber(entry, &next)
			if err := busy.Append(entry); err != nil {
				b.Fatal(err)
			}
			if took := time.Since(begun); took > most {
				most = took
			}
		}
		return most
	}
	cold := make([]byte, 64<<20)
	evict := func() { // the caches have something else in them
		for k := range cold {
			cold[k]++
		}
	}
	var times, processor, with, without []float64
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		evict()
		without = append(without, longest().Seconds()*1e3)
		evict()
		scraped := make(chan float64)
		go func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			begun, used := time.Now(), threadTime()
			if _, err := e.MetricsText(); err != nil {
				b.Error(err)
			}
			processor = append(processor, (threadTime()-used).Seconds()*1e3)
			scraped <- time.Since(begun).Seconds() * 1e3
		}()
		with = append(with, longest().Seconds()*1e3)
		times = append(times, <-scraped)
	}
	b.StopTimer()
	for _, of := range []struct {
		name   string
		values []float64
	}{{"scrape", times}, {"scrape-processor", processor}, {"append-beside", with}, {"append-alone", without}} {
		sort.Float64s(of.values)
		b.ReportMetric(of.values[len(of.values)/2], of.name+"-median-ms")
		b.ReportMetric(of.values[len(of.values)*99/100], of.name+"-p99-ms")
	}
}
