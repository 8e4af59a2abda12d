package driver

import (
	"sort"

	"github.com/bulkhead-wal/bulkhead/tests/demo/internal/wire"
)

// verify compares what was acknowledged with what the replicas applied.
//
// Lost is an acknowledged write that a replica in service lacks. A replica that is
// dead at the end is not in service: what it lacks is counted on its own, because
// the other replicas still have it.
func verify(o Options, dumps map[uint64]wire.Report, result *Result) {
	diverged := map[uint64]bool{}
	result.MissingCopy = -1
	for g := uint64(1); g <= o.Groups; g++ {
		acked := map[uint64]bool{}
		for _, r := range dumps {
			for _, id := range r.Dump.Acked[g] {
				acked[id] = true
			}
		}
		result.Acked += len(acked)
		lost := map[uint64]bool{}
		var first []uint64
		for id := uint64(1); id <= nodes; id++ {
			r, answered := dumps[id]
			if !answered {
				continue
			}
			missing := missingFrom(acked, r.Dump.Applied[g])
			if g == o.FaultGroup && id == o.FaultNode {
				result.MissingCopy = len(missing)
				if !result.Recovered {
					continue
				}
			}
			for _, m := range missing {
				lost[m] = true
			}
			if first == nil {
				first = r.Dump.Applied[g]
			} else if !equal(first, r.Dump.Applied[g]) {
				diverged[g] = true
			}
		}
		result.Lost += len(lost)
	}
	for _, r := range dumps {
		result.Corrupt += r.Dump.Corrupt
	}
	for g := range diverged {
		result.Diverged = append(result.Diverged, g)
	}
	sort.Slice(result.Diverged, func(i, j int) bool { return result.Diverged[i] < result.Diverged[j] })
}

func missingFrom(acked map[uint64]bool, applied []uint64) []uint64 {
	has := make(map[uint64]bool, len(applied))
	for _, id := range applied {
		has[id] = true
	}
	var missing []uint64
	for id := range acked {
		if !has[id] {
			missing = append(missing, id)
		}
	}
	return missing
}

func equal(a, b []uint64) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
