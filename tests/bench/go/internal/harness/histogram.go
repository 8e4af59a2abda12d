package harness

import (
	"math"
	"math/bits"
)

// Buckets of about 3 %, the same as in the Rust arms and in the driver, which adds them up.
const subBits = 5

type histogram struct {
	counts [60 << subBits]uint64
	total  uint64
}

func (h *histogram) record(ns uint64) {
	h.counts[bucket(ns)]++
	h.total++
}

func (h *histogram) quantileMicros(quantile float64) float64 {
	rank := uint64(math.Max(1, math.Ceil(float64(h.total)*quantile)))
	var seen uint64
	for index, count := range h.counts {
		if seen += count; seen >= rank {
			return float64(middle(uint64(index))) / 1000
		}
	}
	return 0
}

func (h *histogram) pairs() [][2]uint64 {
	pairs := [][2]uint64{}
	for index, count := range h.counts {
		if count > 0 {
			pairs = append(pairs, [2]uint64{uint64(index), count})
		}
	}
	return pairs
}

func bucket(ns uint64) uint64 {
	if ns < 1<<subBits {
		return ns
	}
	shift := uint64(63 - bits.LeadingZeros64(ns) - subBits)
	return shift<<subBits + ns>>shift
}

func middle(index uint64) uint64 {
	if index < 2<<subBits {
		return index
	}
	shift := index>>subBits - 1
	return (index-shift<<subBits)<<shift + 1<<shift/2
}
