//go:build bulkhead_debug_gc

package bulkhead

import "runtime"

// maybeGC collects before every call into the library, so that memory which is
// used after it was given back shows in the tests.
func maybeGC() { runtime.GC() }
