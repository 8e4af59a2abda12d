package factory

import (
	"os"
	"path/filepath"
	"sync"

	"github.com/bulkhead-wal/bulkhead/go/cubefs/registry"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage"
)

// site is a log's directory. CubeFS's WAL takes no lock, so who may convert a log is
// decided here: nobody while this process has it open, or opens it. A lock tells
// other processes.
type site struct {
	mu   sync.Mutex // held while its log is opened
	open int        // CubeFS's WALs in it that are open; guarded by sites.mu
	held int        // by who opens, and once for each that is open; guarded by sites.mu
}

var sites = struct {
	mu sync.Mutex
	of map[string]*site
}{of: make(map[string]*site)}

// enterSite waits until no other load opens the log.
func enterSite(dir string) (p *site, leave func()) {
	dir = filepath.Clean(dir)
	sites.mu.Lock()
	p = sites.of[dir]
	if p == nil {
		p = &site{}
		sites.of[dir] = p
	}
	p.held++
	sites.mu.Unlock()
	p.mu.Lock()
	return p, func() { p.mu.Unlock(); p.release(dir, 0) }
}

func (p *site) release(dir string, open int) {
	sites.mu.Lock()
	defer sites.mu.Unlock()
	p.open -= open
	if p.held--; p.held == 0 {
		delete(sites.of, dir)
	}
}

func (p *site) isOpen() bool {
	sites.mu.Lock()
	defer sites.mu.Unlock()
	return p.open > 0
}

// nativeLog is a log of CubeFS's WAL. The WAL of a group that could not be made is
// never closed: raft leaves it open.
type nativeLog struct {
	storage.Storage
	once  sync.Once
	close func()
}

func (n *nativeLog) Close() {
	n.Storage.Close()
	n.once.Do(n.close)
}

// native opens a log of CubeFS's WAL that is not converted until it is closed, by
// this process or another. locked is the directory, nil if there is none yet.
func (p *site) native(dir string, locked *os.File, open registry.Native) (storage.Storage, error) {
	s, err := open()
	if err == nil && locked == nil {
		if locked, err = lock(dir); err != nil {
			s.Close()
		}
	}
	if err != nil {
		unlock(locked)
		return nil, err
	}
	sites.mu.Lock()
	p.open++
	p.held++
	sites.mu.Unlock()
	return &nativeLog{Storage: s, close: func() {
		unlock(locked)
		p.release(filepath.Clean(dir), 1)
	}}, nil
}
