package convert

import (
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"testing"
	"time"

	"github.com/cubefs/cubefs/depends/tiglabs/raft/proto"
)

// benchBytes is the size of the log.
const benchBytes = 1 << 30

var benchCold = flag.Bool("convert.cold", false, "empty the page cache before each turn (root): an operator converts files that nobody has read lately")

// BenchmarkConvert compares import and export of 1 GiB with copying the files
// (cp -r and a sync of the filesystem), in turns. What each turn reads is in the
// page cache, or nothing is. It reports ratios to the speed of the copy: 1 is as
// fast.
func BenchmarkConvert(b *testing.B) {
	for _, size := range []int{4 << 10, 128 << 10} {
		b.Run(fmt.Sprintf("entries of %d KiB", size>>10), func(b *testing.B) { benchConvert(b, size) })
	}
}

func benchConvert(b *testing.B, size int) {
	const rounds = 7
	engine := newEngine(b)
	work := b.TempDir()
	source := filepath.Join(work, "wal_7")
	s := openCubeFS(b, source, nil)
	batch := uint64(1 << 20 / size)
	last := uint64(benchBytes / size)
	for i := uint64(1); i <= last; i += batch {
		must(b, s.StoreEntries(entries(i, i+batch, 1, size)))
	}
	must(b, s.StoreHardState(proto.HardState{Term: 1, Vote: 1, Commit: last}))
	s.Close()
	run := func(name string, args ...string) {
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			b.Fatalf("%s: %v: %s", name, err, out)
		}
	}
	run("sync", "-f", work)
	var copied, imported, exported []float64
	for round := 0; round < rounds; round++ {
		timed := func(list *[]float64, from string, work func()) {
			if *benchCold {
				must(b, os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0))
			} else {
				readFiles(b, from)
			}
			begun := time.Now()
			work()
			*list = append(*list, time.Since(begun).Seconds())
		}
		target := filepath.Join(work, "copy")
		timed(&copied, source, func() { run("cp", "-r", source, target); run("sync", "-f", work) })
		must(b, os.RemoveAll(target))
		run("sync", "-f", work)
		// The same files under other names: an import renames them.
		run("cp", "-rl", source, target)
		must(b, os.Remove(filepath.Join(target, "META")))
		run("cp", filepath.Join(source, "META"), target)
		timed(&imported, target, func() {
			_, err := engine.ImportCubeFS(at(target))
			must(b, err)
		})
		run("sync", "-f", work)
		out := filepath.Join(work, "out")
		timed(&exported, target, func() {
			_, err := engine.ExportCubeFS(at(target), out)
			must(b, err)
		})
		must(b, os.RemoveAll(out))
		must(b, os.RemoveAll(target))
		run("sync", "-f", work)
	}
	median := func(list []float64) float64 {
		sorted := append([]float64(nil), list...)
		sort.Float64s(sorted)
		return sorted[len(sorted)/2]
	}
	ratio := func(list []float64) float64 {
		var ratios []float64
		for i, t := range list {
			ratios = append(ratios, copied[i]/t)
		}
		return median(ratios)
	}
	b.Logf("copy %.2f s, import %.2f s, export %.2f s (medians of %d)", median(copied), median(imported), median(exported), rounds)
	b.ReportMetric(ratio(imported), "import/copy")
	b.ReportMetric(ratio(exported), "export/copy")
	b.ReportMetric(median(copied), "copy-s")
}

// readFiles brings the files of a directory into the page cache.
func readFiles(b *testing.B, dir string) {
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	must(b, err)
	for _, name := range names {
		f, err := os.Open(name)
		must(b, err)
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			_, err = io.Copy(io.Discard, f)
			must(b, err)
		}
		must(b, f.Close())
	}
}
