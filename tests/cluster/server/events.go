package main

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
	"github.com/bulkhead-wal/bulkhead/go/cubefs"
)

// eventsKept is more than a scenario makes; the first ones are what is asked for.
const eventsKept = 4096

// met is when Bulkhead met a fault under a log, whether or not it was healed inside the call.
type met struct {
	Partition uint64 `json:"partition"`
	UnixNS    int64  `json:"unix_ns"`
	Cause     string `json:"cause"`
}

var faults struct {
	mu   sync.Mutex
	list []met
}

func init() {
	cubefs.OnSharedEngine(func(engine *bulkhead.Engine) { go collect(engine.Subscribe()) })
	http.HandleFunc("/faults", serveFaults)
}

func collect(events *bulkhead.Subscription) {
	for {
		e, err := events.Next(context.Background())
		if err != nil {
			return // the engine is closed
		}
		if e.Cause == bulkhead.CauseNone {
			continue
		}
		faults.mu.Lock()
		if len(faults.list) < eventsKept {
			faults.list = append(faults.list, met{e.PartitionID, e.Time.UnixNano(), e.Cause.String()})
		}
		faults.mu.Unlock()
	}
}

// serveFaults answers as CubeFS's own calls do.
func serveFaults(w http.ResponseWriter, _ *http.Request) {
	faults.mu.Lock()
	defer faults.mu.Unlock()
	_ = json.NewEncoder(w).Encode(map[string]any{"code": http.StatusOK, "data": faults.list}) // whoever asked has gone
}
