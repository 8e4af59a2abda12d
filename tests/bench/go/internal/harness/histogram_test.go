package harness

import "testing"

// Buckets that overlapped or left a gap would bend every percentile of every arm.
func TestMiddleLiesInItsOwnBucket(t *testing.T) {
	for ns := uint64(0); ns < 200_000; ns++ {
		if got := middle(bucket(ns)); bucket(got) != bucket(ns) {
			t.Fatalf("%d fell into a bucket whose middle is %d, which is in another bucket", ns, got)
		}
	}
}
