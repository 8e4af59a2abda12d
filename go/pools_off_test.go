//go:build !race && !bulkhead_debug_gc

package bulkhead

const poolsForget = false
