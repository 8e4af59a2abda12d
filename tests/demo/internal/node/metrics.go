package node

import (
	"net"
	"net/http"

	"github.com/bulkhead-wal/bulkhead/go/cubefs"
)

// serveMetrics serves what Bulkhead counts at /metrics, until the process ends.
func serveMetrics(address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) {
		engine, err := cubefs.SharedEngine()
		var text []byte
		if err == nil {
			text, err = engine.MetricsText()
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		_, _ = w.Write(text) // whoever asked has gone
	})
	go func() { _ = http.Serve(listener, mux) }() // it ends with the process
	return nil
}
