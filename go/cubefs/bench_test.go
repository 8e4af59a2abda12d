package cubefs

import (
	"fmt"
	"math/rand"
	"os"
	"testing"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/proto"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage/wal"
)

// BenchmarkB4 compares appending without syncing: CubeFS's WAL as it is shipped,
// Bulkhead in mode none through this package, and a loop of plain pwrites.
func BenchmarkB4(b *testing.B) {
	for _, c := range []struct{ count, size int }{{1, 128}, {1, 4096}, {1, 65536}, {64, 4096}} {
		name := fmt.Sprintf("%dx%d", c.count, c.size)
		b.Run(name+"/cubefs", func(b *testing.B) {
			s, err := wal.NewStorage(walDir(b), &wal.Config{})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			benchmarkStore(b, s, c.count, c.size)
		})
		b.Run(name+"/bulkhead", func(b *testing.B) {
			s := open(b, walDir(b), &Config{Mode: bulkhead.ModeNone})
			benchmarkStore(b, s, c.count, c.size)
		})
		b.Run(name+"/raw", func(b *testing.B) { benchmarkRaw(b, c.count*c.size) })
	}
}

// truncateEvery bounds what a benchmark leaves on disk, in bytes.
const truncateEvery = 256 << 20

func benchmarkStore(b *testing.B, s storage.Storage, count, size int) {
	batch, next, written := make([]*proto.Entry, count), uint64(1), 0
	for i := range batch {
		batch[i] = &proto.Entry{Term: 1, Data: make([]byte, size)}
		_, _ = rand.Read(batch[i].Data) // never fails
	}
	b.SetBytes(int64(count * size))
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		for _, e := range batch {
			e.Index = next
			next++
		}
		if err := s.StoreEntries(batch); err != nil {
			b.Fatal(err)
		}
		if written += count * size; written > truncateEvery {
			b.StopTimer()
			if err := s.Truncate(next - 1); err != nil {
				b.Fatal(err)
			}
			written = 0
			b.StartTimer()
		}
	}
}

func benchmarkRaw(b *testing.B, size int) {
	f, err := os.Create(walDir(b))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	data := make([]byte, size)
	_, _ = rand.Read(data) // never fails
	offset := int64(0)
	b.SetBytes(int64(size))
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		if _, err := f.WriteAt(data, offset); err != nil {
			b.Fatal(err)
		}
		if offset += int64(size); offset > truncateEvery {
			b.StopTimer()
			if err := f.Truncate(0); err != nil {
				b.Fatal(err)
			}
			offset = 0
			b.StartTimer()
		}
	}
}
