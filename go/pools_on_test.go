//go:build race || bulkhead_debug_gc

package bulkhead

// poolsForget: the race detector and a collection before each call empty sync.Pool.
const poolsForget = true
