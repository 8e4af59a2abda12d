// Package factory chooses, for each raft group of a CubeFS server, whether its
// log is kept by CubeFS's own WAL or by Bulkhead. A blank import in the program's
// main is all it takes:
//
//	import _ "github.com/bulkhead-wal/bulkhead/go/cubefs/factory"
//
// together with the one changed line in raftstore (package registry). Without a
// policy nothing changes.
//
// A directory decides for itself: one that is Bulkhead's is opened with Bulkhead,
// and one with a log of CubeFS's WAL with that. Only directories that are empty or
// missing go by the policy, unless it says that logs are to be converted.
//
// Groups of a datanode whose log fails are stopped and brought back by package
// supervisor. What happens is told to the functions of OnEvent, and as a line to
// that of OnWarning.
package factory

import (
	"errors"
	"fmt"
	"sync"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
	"github.com/bulkhead-wal/bulkhead/go/cubefs"
	"github.com/bulkhead-wal/bulkhead/go/cubefs/registry"
	"github.com/bulkhead-wal/bulkhead/go/cubefs/supervisor"
	"github.com/cubefs/cubefs/depends/tiglabs/raft"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/logger"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage"
)

func init() { registry.Register(open) }

// Supervisor is that of all groups of this process.
var Supervisor = supervisor.New(supervisor.Options{OnEvent: tell})

// hooks are what the program's main may add.
var hooks struct {
	mu      sync.Mutex
	events  []func(supervisor.Event)
	warning func(string)
}

// OnEvent adds a function that hears of every step of a group, see
// supervisor.Options. It is how the owners on metanode and master hear of a fault.
func OnEvent(f func(supervisor.Event)) {
	hooks.mu.Lock()
	hooks.events = append(hooks.events, f)
	hooks.mu.Unlock()
}

// OnWarning sets the function that gets a line for every step. A CubeFS server's
// is exporter.Warning, since HandleFatalEvent raises no alarm of its own:
//
//	factory.OnWarning(func(text string) { exporter.Warning(text) })
//
// Without it the lines go to raft's log.
func OnWarning(f func(string)) {
	hooks.mu.Lock()
	hooks.warning = f
	hooks.mu.Unlock()
}

func tell(e supervisor.Event) {
	warn(e.String())
	hooks.mu.Lock()
	events := hooks.events
	hooks.mu.Unlock()
	for _, f := range events {
		f(e)
	}
}

func warn(text string) {
	hooks.mu.Lock()
	f := hooks.warning
	hooks.mu.Unlock()
	if f == nil {
		f = func(text string) { logger.Error("%s", text) }
	}
	f(text)
}

// apply hands the supervisor what a policy says about it, if that has changed.
func apply(p Policy) {
	applied.mu.Lock()
	defer applied.mu.Unlock()
	if applied.byCall != (p.BringBack == byCall) {
		applied.byCall = p.BringBack == byCall
		Supervisor.SetOptions(supervisor.Options{OnEvent: tell, ByCall: applied.byCall})
	}
}

var applied struct {
	mu     sync.Mutex
	byCall bool
}

// open is the registry's backend.
func open(dir string, group registry.Group, native registry.Native) (storage.Storage, error) {
	at, leave := enterSite(dir)
	defer leave()
	if group.Registered() { // it runs on the log: nothing of it may be converted or discarded
		return nil, raft.ErrRaftExists
	}
	policy, _ := CurrentPolicy() // an error was warned of; the last good policy is in force
	l := logOf(dir, group, &policy)
	holds, err := inspect(dir)
	if err != nil {
		return nil, l.failed(err)
	}
	if policy.DiscardOriginal {
		l.discard()
	}
	selected := policy.Selects(group.ID)
	switch choice := choose(holds, selected, &policy); {
	case choice == importFirst && at.isOpen():
		warn(fmt.Sprintf("bulkhead: the log of group %d is not imported: CubeFS's WAL has it open in this process, for a group that another load makes or could not make", group.ID))
	case choice == importFirst:
		done, err := l.imported(l.runImport)
		if err != nil {
			return nil, l.failed(err)
		}
		if done {
			return l.openBulkhead()
		}
	case choice == exportFirst:
		if !l.exported() {
			if s, err := l.openSettled(); s != nil || err != nil {
				return s, err
			}
		}
	case choice == useBulkhead:
		if s, err := l.openSettled(); s != nil || err != nil {
			return s, err
		}
	}
	if !at.isOpen() {
		if err := l.settled(); err != nil {
			return nil, l.failed(err)
		}
	}
	locked, err := lock(dir)
	if err != nil {
		return nil, l.failed(err)
	}
	Supervisor.Forget(group.Server, group.ID)
	return l.openNative(func() (storage.Storage, error) { return at.native(dir, locked, native) }, policy.Shadows(group.ID))
}

// choice is what is done with a log.
type choice int

const (
	useNative choice = iota
	useBulkhead
	importFirst
	exportFirst
)

func choose(holds holding, selected bool, p *Policy) choice {
	switch {
	case holds == bulkheadLog && !selected && p.Export:
		return exportFirst
	case holds == bulkheadLog, holds == noLog && selected:
		return useBulkhead
	case holds == cubefsLog && selected && p.Import:
		return importFirst
	default:
		return useNative
	}
}

// log is one log that is being opened.
type log struct {
	dir    string
	source registry.Group
	group  supervisor.Group
	config cubefs.Config
}

func logOf(dir string, g registry.Group, p *Policy) *log {
	l := &log{dir: dir, source: g}
	l.group = supervisor.Group{ID: g.ID, Server: g.Server, StateMachine: g.StateMachine, Owner: supervisor.Datanode(g)}
	l.config = cubefs.Config{PartitionID: g.ID, Mode: modes[p.Mode]}
	if g.WalPath != "" { // on a metanode a log that ends below it is legal after a crash in a snapshot
		l.config.AppliedIndex = g.Applied
		l.config.SnapshotChangesNothing = true
	}
	return l
}

func (l *log) openBulkhead() (storage.Storage, error) {
	return Supervisor.Open(l.dir, l.config, l.group)
}

// openSettled opens a log that is Bulkhead's, or was until a conversion of it was
// cut short or failed: that is finished or taken back first. Whose the log is then
// shows in the directory; it is not converted a second time. Neither a log nor an
// error if it is CubeFS's.
func (l *log) openSettled() (storage.Storage, error) {
	for settled := false; ; settled = true {
		holds, err := inspect(l.dir)
		if err != nil {
			return nil, l.failed(err)
		}
		if holds == cubefsLog {
			return nil, nil
		}
		s, err := l.openBulkhead()
		if settled || !errors.Is(err, bulkhead.ErrNeedsImport) {
			return s, err
		}
		if _, err := l.runImport(); err != nil {
			return nil, l.failed(err)
		}
	}
}

// failed hands an error to the supervisor, as that of an open, and returns it.
func (l *log) failed(err error) error {
	Supervisor.Failed(l.dir, l.config, l.group, err)
	return err
}
