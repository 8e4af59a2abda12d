package cubefs

import (
	"sync"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
)

var shared struct {
	mu     sync.Mutex
	engine *bulkhead.Engine
	follow []func(*bulkhead.Engine)
}

// OnSharedEngine calls f with the shared engine as soon as there is one, and with
// each that follows it. It is how package exporter shows it.
func OnSharedEngine(f func(*bulkhead.Engine)) {
	shared.mu.Lock()
	shared.follow = append(shared.follow, f)
	engine := shared.engine
	shared.mu.Unlock()
	if engine != nil {
		f(engine)
	}
}

// SharedEngine returns the engine of all storages that were not given one. It is
// made, with its defaults, when it is first asked for.
func SharedEngine() (*bulkhead.Engine, error) {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.engine == nil {
		engine, err := bulkhead.Open(bulkhead.EngineConfig{})
		if err != nil {
			return nil, err
		}
		shared.engine = engine
		for _, f := range shared.follow {
			f(engine)
		}
	}
	return shared.engine, nil
}

// CloseSharedEngine closes the shared engine and the storages that are still
// open in it, at the end of a process. The next SharedEngine makes a new one.
func CloseSharedEngine() error {
	shared.mu.Lock()
	engine := shared.engine
	shared.engine = nil
	shared.mu.Unlock()
	if engine == nil {
		return nil
	}
	return engine.Close()
}
