package main

import "testing"

// A ratio must be taken within its round: machines slow down for whole rounds.
func TestRatioIsTakenWithinTheRound(t *testing.T) {
	raw := &measured{arm: arm{name: "raw-direct"}, values: []float64{100, 10, 50}}
	own := &measured{arm: arm{name: "bulkhead"}, values: []float64{90, 9, 45}}
	o := outcome{row: rows[0], arms: []*measured{raw, own}}
	if low, high := extremes(o.ratios(own)); low != 0.9 || high != 0.9 {
		t.Fatalf("rounds at 0.9 of raw gave %v to %v", low, high)
	}
}

// A verdict on the wrong side would call a miss a success.
func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		ratio, target float64
		atMost        bool
		want          string
	}{
		{0.9, 0.9, false, "met"}, {0.73, 0.9, false, "within 20 %"}, {0.7, 0.9, false, "missed"},
		{1.2, 1.2, true, "met"}, {1.4, 1.2, true, "within 20 %"}, {1.6, 1.2, true, "missed"},
	} {
		if got := verdict(c.ratio, c.target, c.atMost); got != c.want {
			t.Errorf("%v against %v (at most: %v) gave %q", c.ratio, c.target, c.atMost, got)
		}
	}
}

// Merged percentiles come from the arms' buckets, so that both sides must mean the same by a number.
func TestQuantileOfMergedSlots(t *testing.T) {
	h := histogram{}
	h.add([][2]uint64{{40, 98}})
	h.add([][2]uint64{{40, 1}, {96, 1}}) // bucket 96 begins at 128 ns and is 4 ns wide
	if got := h.quantileMicros(0.5); got != 0.040 {
		t.Errorf("p50 %v", got)
	}
	if got := h.quantileMicros(1); got != 0.130 {
		t.Errorf("maximum %v", got)
	}
}
