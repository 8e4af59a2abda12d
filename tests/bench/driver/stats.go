package main

import (
	"math"
	"sort"
)

// histogram holds latencies by bucket, in the buckets that the arms use.
type histogram map[uint64]uint64

func (h histogram) add(pairs [][2]uint64) {
	for _, pair := range pairs {
		h[pair[0]] += pair[1]
	}
}

func (h histogram) quantileMicros(quantile float64) float64 {
	var buckets []uint64
	var total uint64
	for bucket, count := range h {
		buckets = append(buckets, bucket)
		total += count
	}
	sort.Slice(buckets, func(i, j int) bool { return buckets[i] < buckets[j] })
	rank := uint64(math.Max(1, math.Ceil(float64(total)*quantile)))
	var seen uint64
	for _, bucket := range buckets {
		if seen += h[bucket]; seen >= rank {
			return float64(bucketNanos(bucket)) / 1000
		}
	}
	return 0
}

// bucketNanos is the middle of a bucket; the arms have the inverse.
func bucketNanos(bucket uint64) uint64 {
	const subBits = 5
	if bucket < 2<<subBits {
		return bucket
	}
	shift := bucket>>subBits - 1
	return (bucket-shift<<subBits)<<shift + 1<<shift/2
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := append([]float64(nil), values...)
	sort.Float64s(sorted)
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

func extremes(values []float64) (low, high float64) {
	for i, value := range values {
		if i == 0 || value < low {
			low = value
		}
		if i == 0 || value > high {
			high = value
		}
	}
	return low, high
}

func (m *measured) value() float64 { return median(m.values) }

// reference is the arm that m's ratio is taken to; nil if that one gave nothing.
func (o outcome) reference(m *measured) *measured {
	names := o.row.reference
	if m.arm.against != "" {
		names = []string{m.arm.against}
	}
	var best *measured
	for _, name := range names {
		for _, candidate := range o.arms {
			if candidate.arm.name == name && candidate.failure == nil && (best == nil || candidate.value() > best.value()) {
				best = candidate
			}
		}
	}
	return best
}

// ratios are m's rounds, each against the reference in the same round.
func (o outcome) ratios(m *measured) []float64 {
	reference := o.reference(m)
	if reference == nil || m.failure != nil {
		return nil
	}
	var ratios []float64
	for i := range m.values {
		ratios = append(ratios, m.values[i]/reference.values[i])
	}
	return ratios
}

func (o outcome) p99Ratio(m *measured) float64 {
	reference := o.reference(m)
	if reference == nil || m.failure != nil {
		return 0
	}
	return m.latency.quantileMicros(0.99) / reference.latency.quantileMicros(0.99)
}

// verdict compares a ratio with the least (or the most) that it may be.
func verdict(ratio, target float64, atMost bool) string {
	if atMost {
		ratio, target = 1/ratio, 1/target
	}
	switch {
	case ratio >= target:
		return "met"
	case ratio >= 0.8*target:
		return "within 20 %"
	}
	return "missed"
}
