package bulkhead

import (
	"testing"
)

// Payloads take three ways into the library: directly, copied into one buffer,
// and pinned. A mistake in one of them would store other bytes.
func TestEveryWayIntoTheLibrary(t *testing.T) {
	for _, mode := range allModes {
		t.Run(mode.String(), func(t *testing.T) {
			p := openPartition(t, openEngine(t, EngineConfig{}), mode)
			var all []Entry
			next := uint64(1)
			add := func(batch []Entry, appendIt func([]Entry) error) {
				t.Helper()
				if err := appendIt(batch); err != nil {
					t.Fatal(err)
				}
				all = append(all, batch...)
				next += uint64(len(batch))
			}
			for _, size := range []int{0, 1, 100, pinFromBytes - 1, pinFromBytes, pinFromBytes + 1, 10000, 128<<10 + 33} {
				for _, count := range []uint64{1, 2, 64} {
					add(makeEntries(next, next+count, 1, size), p.Append)
					add(makeEntries(next, next+count, 1, size), p.appendOutside)
				}
			}
			mixed := append(makeEntries(next, next+1, 1, 0), makeEntries(next+1, next+2, 1, 100000)...)
			mixed = append(mixed, makeEntries(next+2, next+3, 1, 0)...)
			mixed = append(mixed, makeEntries(next+3, next+4, 1, 3)...)
			add(mixed, p.Append)
			mustHold(t, p, all)
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
			mustHold(t, reopenPartition(t, p.engine, PartitionConfig{Path: p.Path(), ID: 7, Mode: mode}), all)
		})
	}
}

// raft reuses its slice, and others reuse their payload buffers, as soon as
// Append returns.
func TestBuffersMayBeReused(t *testing.T) {
	for _, mode := range allModes {
		t.Run(mode.String(), func(t *testing.T) {
			p := openPartition(t, openEngine(t, EngineConfig{}), mode)
			var want []Entry
			for i := uint64(1); i < 200; i += 4 {
				batch := makeEntries(i, i+4, 1, 2000)
				want = append(want, makeEntries(i, i+4, 1, 2000)...)
				appendIt := p.Append
				if i%8 == 1 {
					appendIt = p.appendOutside
				}
				if err := appendIt(batch); err != nil {
					t.Fatal(err)
				}
				for k := range batch {
					for n := range batch[k].Data {
						batch[k].Data[n] = 0xff
					}
					batch[k] = Entry{}
				}
			}
			mustHold(t, p, want)
		})
	}
}

// An allocation per append would cost more than the call into the library. (A
// runtime.Pinner grows its list of references anew each time.)
func TestAppendDoesNotAllocate(t *testing.T) {
	p := openPartition(t, openEngine(t, EngineConfig{}), ModeNone)
	next := uint64(1)
	for _, c := range []struct {
		count, size int
		most        float64
	}{{1, 128, 0}, {1, 64 << 10, 0}, {64, 128, 0.5}, {64, 4096, 6}} {
		batch := makeEntries(0, uint64(c.count), 1, c.size)
		got := testing.AllocsPerRun(50, func() {
			for i := range batch {
				batch[i].Index = next
				next++
			}
			if err := p.Append(batch); err != nil {
				t.Fatal(err)
			}
		})
		if got > c.most && !poolsForget {
			t.Errorf("%d entries of %d bytes: %v allocations, want at most %v", c.count, c.size, got, c.most)
		}
	}
}
