// Package exporter puts the metrics of the shared engine on the page that a
// CubeFS process serves on its exporter port, and the state of its partitions
// with the operator's actions beside the process's other HTTP endpoints. Import
// it for its effect, in the program's main package:
//
//	import _ "github.com/bulkhead-wal/bulkhead/go/cubefs/exporter"
//
// It is a module of its own, so that nobody else needs client_golang.
package exporter

import (
	"net/http"
	"sync"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
	"github.com/bulkhead-wal/bulkhead/go/admin"
	"github.com/bulkhead-wal/bulkhead/go/cubefs"
	"github.com/bulkhead-wal/bulkhead/go/metrics"
	"github.com/prometheus/client_golang/prometheus"
)

// prefix is where the handler of package admin is, on http.DefaultServeMux.
const prefix = "/bulkhead/admin"

var current struct {
	mu        sync.Mutex
	collector *metrics.Collector
	handler   *admin.Handler
}

func init() {
	http.Handle(prefix+"/", http.StripPrefix(prefix, http.HandlerFunc(serve)))
	cubefs.OnSharedEngine(follow)
}

// follow shows an engine in the place of the one before it, which is closed.
func follow(engine *bulkhead.Engine) {
	current.mu.Lock()
	defer current.mu.Unlock()
	if current.collector != nil {
		prometheus.Unregister(current.collector)
		current.handler.Close()
	}
	current.collector, current.handler = metrics.NewCollector(engine, nil), admin.New(engine)
	// Who has registered one already has what this is for.
	_ = prometheus.Register(current.collector)
}

func serve(w http.ResponseWriter, r *http.Request) {
	current.mu.Lock()
	handler := current.handler
	current.mu.Unlock()
	if handler == nil {
		http.Error(w, "no partition has been opened with Bulkhead yet", http.StatusServiceUnavailable)
		return
	}
	handler.ServeHTTP(w, r)
}
