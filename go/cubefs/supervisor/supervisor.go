package supervisor

import (
	"errors"
	"path/filepath"
	"sync"
	"time"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
	"github.com/bulkhead-wal/bulkhead/go/cubefs"
	"github.com/bulkhead-wal/bulkhead/go/cubefs/registry"
	"github.com/cubefs/cubefs/depends/tiglabs/raft"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage"
)

// Owner runs a group: it knows how to stop it and how to start it again. Its
// methods are called from goroutines of the supervisor and may block; a panic in
// them is caught.
type Owner interface {
	// Stop makes the owner stop and unregister a group that is dead. It is called
	// until the group is unregistered; attempt counts from 0.
	Stop(fault cubefs.Fault, attempt int)
	// Return starts the group again, on a log that was found to be good. It must
	// open the log with Supervisor.Open. A partition that the owner does not have at the
	// moment may be loaded if attach is true: its load has failed, or BringBack was called.
	// Otherwise it was taken away on purpose, and may be about to be removed.
	Return(attach bool) error
	// Gone tells that the partition is no more, or was never made: nobody waits for the group.
	Gone() bool
}

// Group is a raft group whose log is opened.
type Group struct {
	ID           uint64
	Server       *raft.RaftServer
	StateMachine raft.StateMachine
	Owner        Owner // nil: the group is only told of
}

// Options of a supervisor.
type Options struct {
	// OnEvent hears of every step, one call at a time for each group. It may
	// block, which holds up that group's next step.
	OnEvent func(Event)
	// ByCall leaves groups down until BringBack is called, as it always is with those
	// that were fenced, or that raft has ended for something that is not their log's
	// fault. Otherwise they are tried after FirstDelay and, as long as that fails, in
	// twice the time up to 8 s or FirstDelay; up to an hour if the log is good and the
	// owner fails to start the group, which may cost it something each time. One that fails again within LongestDelay
	// of its return is not tried before twice the time of the last round, up to
	// LongestDelay.
	ByCall       bool
	FirstDelay   time.Duration // default 1 s
	LongestDelay time.Duration // default 60 s
}

const (
	defaultFirstDelay   = time.Second
	defaultLongestDelay = time.Minute
	// A log that is down is looked at this often at least: it costs an open.
	longestLook = 8 * time.Second
	// A datanode that fails to load a partition leaves goroutines and files behind.
	longestAfterStart = time.Hour
	// A try that fails for the same reason as the last is told this often.
	complaintEvery = 10 * time.Minute
	// returnsAtATime bounds how many groups of a disk start at once when it is back;
	// CubeFS loads the partitions of a disk four at a time.
	returnsAtATime = 4
)

// Supervisor watches groups. Its methods are safe for concurrent use.
type Supervisor struct {
	mu      sync.Mutex
	slots   map[string]chan struct{} // by disk: a try may hang with it
	options Options
	members map[key]*member
	totals  Totals
}

type key struct {
	server *raft.RaftServer
	id     uint64
}

// New makes a supervisor.
func New(options Options) *Supervisor {
	s := &Supervisor{slots: make(map[string]chan struct{}), members: make(map[key]*member)}
	s.SetOptions(options)
	return s
}

// SetOptions changes the options, also for groups that are down already.
func (s *Supervisor) SetOptions(options Options) {
	if options.FirstDelay <= 0 {
		options.FirstDelay = defaultFirstDelay
	}
	if options.LongestDelay <= 0 {
		options.LongestDelay = defaultLongestDelay
	}
	if options.LongestDelay < options.FirstDelay {
		options.LongestDelay = options.FirstDelay
	}
	s.mu.Lock()
	s.options = options
	for _, m := range s.members {
		m.wakeUp()
	}
	s.mu.Unlock()
}

// Open opens the log of a group as cubefs.NewStorage does. What it returns goes
// into the group's raft.RaftConfig; a fault of it is the supervisor's from then
// on. OnFault of config is called as well, after OnEvent; OnHealed and OnClosed are
// the supervisor's. An error is returned; if it was the disk's or the log's, and the
// group has an owner, it is brought back like one that failed later. For a group that is
// registered it is raft.ErrRaftExists: dead or alive, it has a log.
func (s *Supervisor) Open(dir string, config cubefs.Config, group Group) (storage.Storage, error) {
	if registered(group.Server, group.ID) {
		return nil, raft.ErrRaftExists
	}
	o := s.begin(dir, config, group)
	also := config.OnFault
	config.OnFault = func(f cubefs.Fault) { o.faulted(f, also) }
	config.OnHealed = o.healed
	config.OnClosed = o.closed
	if config.Registered == nil {
		config.Registered = func(id uint64) bool { return registered(group.Server, id) }
	}
	opened, err := cubefs.NewStorage(dir, &config)
	if err != nil {
		o.failed(err)
		return nil, err
	}
	o.succeeded(opened)
	return opened, nil
}

// slotsOf returns the slots of the disk that a log is on. A datanode has its partitions
// in the disk's directory, and the log of each in the partition's: that is taken for the
// disk, since to ask the filesystem may hang.
func (s *Supervisor) slotsOf(dir string) chan struct{} {
	disk := filepath.Dir(filepath.Dir(filepath.Clean(dir)))
	s.mu.Lock()
	defer s.mu.Unlock()
	slots := s.slots[disk]
	if slots == nil {
		slots = make(chan struct{}, returnsAtATime)
		s.slots[disk] = slots
	}
	return slots
}

// Failed is for a caller that could not even get as far as Open.
func (s *Supervisor) Failed(dir string, config cubefs.Config, group Group, err error) {
	s.begin(dir, config, group).failed(err)
}

// Forget ends the watch of a group: its log is not Bulkhead's any more.
func (s *Supervisor) Forget(server *raft.RaftServer, id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.members[key{server, id}]; m != nil {
		m.latest, m.open = nil, nil
		m.wakeUp()
		m.look()
	}
}

// ErrNotDown is returned by BringBack for a group that is not down.
var ErrNotDown = errors.New("the group is not down: it runs, was stopped by its owner, or is not known")

// BringBack tries to bring back the groups with an id that are down, now. The
// outcome is an Event.
func (s *Supervisor) BringBack(id uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := ErrNotDown
	for k, m := range s.members {
		if k.id == id && m.latest != nil && m.latest.down {
			m.called = true
			m.wakeUp()
			err = nil
		}
	}
	return err
}

// registered tells whether a server has a group, dead or alive.
func registered(server *raft.RaftServer, id uint64) bool {
	return registry.Group{ID: id, Server: server}.Registered()
}

// comesBack are the errors of an open that pass, or that somebody repairs; one that is open
// already is looked at by a try, as a rule.
var comesBack = []bulkhead.Code{
	bulkhead.ErrIO, bulkhead.ErrNoSpace, bulkhead.ErrReadOnlyFilesystem, bulkhead.ErrStalled, bulkhead.ErrBusy,
	bulkhead.ErrLocked, bulkhead.ErrResourceExhausted, bulkhead.ErrPanic, bulkhead.ErrDamaged, bulkhead.ErrLostEntries,
	bulkhead.ErrAlreadyOpen,
}

func passes(err error) bool {
	if err.Error() == raft.ErrRaftExists.Error() {
		return false // it runs
	}
	for _, code := range comesBack {
		if errors.Is(err, code) {
			return true
		}
	}
	return false
}
