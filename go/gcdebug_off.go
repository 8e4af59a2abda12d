//go:build !bulkhead_debug_gc

package bulkhead

func maybeGC() {}
