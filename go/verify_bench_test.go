//go:build command

package bulkhead

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"testing"
	"time"
)

// dropPages takes a file's clean pages out of the page cache.
func dropPages(b *testing.B, files []string) {
	for _, file := range files {
		if out, err := exec.Command("dd", "of="+file, "oflag=nocache", "conv=notrunc,fdatasync", "count=0", "status=none").CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
	}
}

// BenchmarkVerifyAndCat: `bulkhead verify` of closed logs with a cold cache, in
// turns with `cat` of their files; the ratio of the speeds is the median of the
// rounds. BULKHEAD_COMMAND names the command, BULKHEAD_BENCH_DIR a directory on
// the disk to measure.
//
//	go test -tags command -run NONE -bench VerifyAndCat -benchtime 7x .
func BenchmarkVerifyAndCat(b *testing.B) {
	command := os.Getenv("BULKHEAD_COMMAND")
	if command == "" {
		b.Fatal("BULKHEAD_COMMAND is not set")
	}
	for _, logs := range []int{1, 4} {
		b.Run(fmt.Sprintf("%d", logs), func(b *testing.B) { verifyAndCat(b, command, logs) })
	}
}

func verifyAndCat(b *testing.B, command string, logs int) {
	dir, err := os.MkdirTemp(os.Getenv("BULKHEAD_BENCH_DIR"), "verify")
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(dir)
	e, err := Open(EngineConfig{})
	if err != nil {
		b.Fatal(err)
	}
	for id := 1; id <= logs; id++ {
		p, err := e.OpenPartition(PartitionConfig{Path: filepath.Join(dir, fmt.Sprintf("wal_%d", id)), ID: uint64(id), Mode: ModeNone})
		if err != nil {
			b.Fatal(err)
		}
		for index := uint64(1); index <= 1024; index += 64 { // 256 MiB
			if err := p.Append(makeEntries(index, index+64, 1, 256<<10)); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := e.Close(); err != nil {
		b.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "wal_*", "seg-*"))
	if err != nil || len(files) < logs {
		b.Fatal(files, err)
	}
	timed := func(name string, args ...string) time.Duration {
		dropPages(b, files)
		begun := time.Now()
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			b.Fatalf("%s: %v: %.300s", name, err, out)
		}
		return time.Since(begun)
	}
	var ratios []float64
	for i := 0; i < b.N; i++ {
		verify := timed(command, "verify", dir)
		cat := timed("sh", append([]string{"-c", `cat "$@" >/dev/null`, "sh"}, files...)...)
		ratios = append(ratios, cat.Seconds()/verify.Seconds())
	}
	sort.Float64s(ratios)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(ratios[len(ratios)/2], "of-cat")
	b.ReportMetric(ratios[0], "of-cat-min")
	b.ReportMetric(ratios[len(ratios)-1], "of-cat-max")
}
