package bulkhead

// #include "shim.h"
import "C"

// metricsRoom is what a small engine's text fits into.
const metricsRoom = 64 << 10

// MetricsText returns all metrics in Prometheus's text format, version 0.0.4.
// Package go/metrics makes a collector of it. It reads what the partitions have
// counted without stopping an append, and waits for no disk.
func (e *Engine) MetricsText() ([]byte, error) {
	room := metricsRoom
	for {
		text := make([]byte, room)
		out := C.bh_metrics_text(e.handle, (*C.char)(bytesPointer(text)), C.size_t(room))
		if out.err == nil {
			return text[:out.value-1], nil // without its NUL
		}
		err := takeError(out.err)
		if e, ok := err.(*Error); !ok || e.Code != ErrBufferTooSmall {
			return nil, err
		}
		// By the next call it may have grown.
		room = int(out.value) + metricsRoom
	}
}
