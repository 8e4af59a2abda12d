package factory

import (
	"fmt"
	"path/filepath"
	"sync"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
	"github.com/bulkhead-wal/bulkhead/go/cubefs"
	"github.com/bulkhead-wal/bulkhead/go/cubefs/registry"
	"github.com/bulkhead-wal/bulkhead/go/cubefs/shadow"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage"
)

// shadowDirectory is where the shadows of a disk's logs are: beside the
// partitions' directories, which a datanode removes right after it has closed
// the log.
const shadowDirectory = "bulkhead_shadow"

func (l *log) shadowRoot() string {
	beside := l.dir
	if l.source.WalPath != "" {
		beside = l.source.WalPath
	}
	return filepath.Join(filepath.Dir(beside), shadowDirectory)
}

// knownShadowRoot is where the shadow of a group was that this process has
// opened; "" if it has none.
func knownShadowRoot(id uint64) string {
	shadows.mu.Lock()
	defer shadows.mu.Unlock()
	return shadows.roots[id]
}

// openNative opens CubeFS's WAL, with a shadow if there is to be one.
func (l *log) openNative(native registry.Native, shadowed bool) (storage.Storage, error) {
	s, err := native()
	if err != nil || !shadowed {
		return s, err
	}
	engine, err := shadowEngine()
	if err != nil {
		warn(fmt.Sprintf("bulkhead: no shadow for group %d: %v", l.source.ID, err))
		return s, nil
	}
	root := l.shadowRoot()
	shadows.mu.Lock()
	shadows.roots[l.source.ID] = root
	shadows.mu.Unlock()
	return shadow.New(s, shadow.Config{Root: root, ID: l.source.ID, Log: cubefs.Config{Engine: engine, Mode: l.config.Mode}}), nil
}

var shadows = struct {
	mu     sync.Mutex
	engine *bulkhead.Engine
	roots  map[uint64]string
}{roots: make(map[uint64]string)}

// shadowEngine keeps the shadows: what they wait for is nothing to logs in
// earnest.
func shadowEngine() (*bulkhead.Engine, error) {
	shadows.mu.Lock()
	defer shadows.mu.Unlock()
	if shadows.engine == nil {
		engine, err := bulkhead.Open(bulkhead.EngineConfig{ReadCacheBytes: 16 << 20})
		if err != nil {
			return nil, err
		}
		shadows.engine = engine
	}
	return shadows.engine, nil
}
