package main

// clip cuts lo..hi to what the log holds; ok is false if that is nothing.
func clip(l logStore, lo, hi uint64) (from, to uint64, ok bool, err error) {
	first, last, err := l.bounds()
	return max(lo, first), min(hi, last), err == nil && max(lo, first) <= min(hi, last), err
}
