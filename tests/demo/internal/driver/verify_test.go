package driver

import (
	"reflect"
	"testing"
	"time"

	"github.com/bulkhead-wal/bulkhead/tests/demo/internal/wire"
)

// dumps of three nodes and two groups; group 2 on node 2 is the faulted replica.
func testDumps() map[uint64]wire.Report {
	dumps := map[uint64]wire.Report{}
	for id := uint64(1); id <= nodes; id++ {
		dumps[id] = wire.Report{Dump: &wire.Dump{
			Acked:   map[uint64][]uint64{},
			Applied: map[uint64][]uint64{1: {11, 12, 13}, 2: {21, 22, 23}},
		}}
	}
	dumps[1].Dump.Acked[1] = []uint64{11, 12}
	dumps[3].Dump.Acked[1] = []uint64{13}
	dumps[1].Dump.Acked[2] = []uint64{21, 22, 23}
	return dumps
}

var testOptions = Options{Groups: 2, FaultNode: 2, FaultGroup: 2}

// A demo that looked at the wrong sets would report 0 lost entries of anything.
func TestVerifyFindsWhatIsLost(t *testing.T) {
	for _, c := range []struct {
		name                   string
		change                 func(map[uint64]wire.Report)
		recovered              bool
		lost, missing, corrupt int
		diverged               []uint64
	}{
		{"nothing", func(map[uint64]wire.Report) {}, true, 0, 0, 0, nil},
		{"a healthy replica lacks one", func(d map[uint64]wire.Report) { d[3].Dump.Applied[1] = []uint64{11, 12} }, true, 1, 0, 0, []uint64{1}},
		{"all replicas lack one", func(d map[uint64]wire.Report) {
			for _, r := range d {
				r.Dump.Applied[1] = []uint64{12, 13}
			}
		}, true, 1, 0, 0, nil},
		{"the recovered replica lacks two", func(d map[uint64]wire.Report) { d[2].Dump.Applied[2] = []uint64{21} }, true, 2, 2, 0, []uint64{2}},
		{"the dead replica lacks two", func(d map[uint64]wire.Report) { d[2].Dump.Applied[2] = []uint64{21} }, false, 0, 2, 0, nil},
		{"another order", func(d map[uint64]wire.Report) { d[2].Dump.Applied[2] = []uint64{21, 23, 22} }, true, 0, 0, 0, []uint64{2}},
		{"an entry twice", func(d map[uint64]wire.Report) { d[3].Dump.Applied[1] = []uint64{11, 12, 13, 13} }, true, 0, 0, 0, []uint64{1}},
		{"damaged commands", func(d map[uint64]wire.Report) { d[1].Dump.Corrupt = 4 }, true, 0, 0, 4, nil},
	} {
		dumps := testDumps()
		c.change(dumps)
		r := Result{Recovered: c.recovered, Alive: true, Told: true}
		verify(testOptions, dumps, &r)
		if r.Acked != 6 || r.Lost != c.lost || r.MissingCopy != c.missing || int(r.Corrupt) != c.corrupt || !reflect.DeepEqual(r.Diverged, c.diverged) {
			t.Errorf("%s: acked %d, lost %d, missing %d, corrupt %d, diverged %v", c.name, r.Acked, r.Lost, r.MissingCopy, r.Corrupt, r.Diverged)
		}
		if good := c.recovered && c.lost == 0 && c.corrupt == 0 && c.diverged == nil; r.Good() != good {
			t.Errorf("%s: Good is %v", c.name, r.Good())
		}
	}
}

// Nodes report at times of their own: taking the driver's clock for all of them
// showed rates that were a fifth too high.
func TestRatesUseEachNodesClock(t *testing.T) {
	second := int64(time.Second)
	from := sample{nodes: map[uint64]nodeSample{
		1: {atNS: 1 * second, acked: map[uint64]uint64{7: 100}},
		2: {atNS: 5 * second, acked: map[uint64]uint64{7: 10}},
	}}
	to := sample{nodes: map[uint64]nodeSample{
		1: {atNS: 3 * second, acked: map[uint64]uint64{7: 300}},
		2: {atNS: 7*second - second/10, acked: map[uint64]uint64{7: 105}},
		3: {atNS: 6 * second, acked: map[uint64]uint64{7: 999}}, // unknown before: no rate
	}}
	if r := rates(from, to)[7]; r != 150 {
		t.Errorf("rate %v, want 150", r)
	}
	// A node that died early in the window made a rate that no one had.
	to.nodes[2] = nodeSample{atNS: 5*second + second/2, acked: map[uint64]uint64{7: 60}}
	if r := rates(from, to)[7]; r != 125 {
		t.Errorf("with a dead node: rate %v, want 125", r)
	}
}
