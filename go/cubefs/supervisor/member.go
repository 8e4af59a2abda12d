package supervisor

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/bulkhead-wal/bulkhead/go/cubefs"
)

// member is one group on one server, over all its openings. The supervisor's
// mutex guards it.
type member struct {
	sup     *Supervisor
	key     key
	begun   int        // openings that are under way
	open    []*opening // whose logs are open, oldest first
	latest  *opening   // the one that counts; nil: nothing to watch
	unused  *opening   // the last whose log was closed as unused: the group may run on it
	tending bool       // a goroutine of tend is at work
	trying  bool       // it tries to bring the group back
	called  bool       // BringBack was called
	wake    chan struct{}

	news    []func() // calls of OnEvent that wait
	telling bool     // a goroutine of tellAll is at work
	told    *sync.Cond

	delay      time.Duration // before the next try
	patience   time.Duration // before the first try of this round: grows if the group does not stay up
	since      time.Time     // of the first fault, until the group is back
	returned   time.Time
	lastErr    error
	complained time.Time // when a failed try was told the last time
}

// memberOf needs the supervisor's lock.
func (s *Supervisor) memberOf(group Group) *member {
	k := key{group.Server, group.ID}
	m := s.members[k]
	if m == nil {
		m = &member{sup: s, key: k, wake: make(chan struct{}, 1), told: sync.NewCond(&s.mu)}
		s.members[k] = m
	}
	return m
}

func (m *member) wakeUp() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// look starts tend if there is something to do, and forgets a group that nobody
// needs to watch. It needs the supervisor's lock.
func (m *member) look() {
	switch {
	case m.tending:
	case m.latest != nil && m.latest.needsCare():
		m.tending = true
		go m.tend()
	case m.latest == nil && m.begun == 0 && len(m.open) == 0 && !m.telling:
		delete(m.sup.members, m.key)
	}
}

// tend does what is to be done for a group, until nothing is. What has happened is
// told before anything is done about it.
func (m *member) tend() {
	for {
		m.sup.mu.Lock()
		for m.telling {
			m.told.Wait()
		}
		o := m.latest
		if o == nil || !o.needsCare() {
			m.tending = false
			m.look()
			m.sup.mu.Unlock()
			return
		}
		down, closed, made := o.down, o.isClosed, o.made
		m.sup.mu.Unlock()
		switch {
		case down:
			m.bringBack(o)
		case closed:
			m.stop(o)
		case made:
			m.stopDoomed(o)
		default:
			m.unmade(o)
		}
	}
}

// counts tells whether an opening is still the one that counts.
func (m *member) counts(o *opening) bool {
	m.sup.mu.Lock()
	defer m.sup.mu.Unlock()
	return m.latest == o
}

// drop ends the watch of an opening. If another log of the group is open, it is
// what the group runs on. It needs the supervisor's lock.
func (m *member) drop(o *opening) {
	if m.latest != o {
		return
	}
	m.latest, m.since, m.lastErr = nil, time.Time{}, nil
	if len(m.open) > 0 {
		m.latest = m.open[len(m.open)-1]
	}
}

// pause waits for a time, or until something else has happened.
func (m *member) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-m.wake:
	}
}

// tell counts an event and has the owner's program called: one call at a time for
// each group. It needs the supervisor's lock.
func (m *member) tell(e Event, o *opening, also func(cubefs.Fault)) {
	e.ID, e.Dir, e.Time = o.group.ID, o.dir, time.Now()
	m.sup.totals.add(e)
	m.news = append(m.news, func() {
		m.sup.mu.Lock()
		callback := m.sup.options.OnEvent
		m.sup.mu.Unlock()
		if callback != nil {
			callback(e)
		}
		if also != nil {
			also(e.Fault)
		}
	})
	if !m.telling {
		m.telling = true
		go m.tellAll()
	}
}

func (m *member) tellAll() {
	m.sup.mu.Lock()
	defer m.sup.mu.Unlock()
	for len(m.news) > 0 {
		call := m.news[0]
		m.news = m.news[1:]
		m.sup.mu.Unlock()
		_ = guard(func() error { call(); return nil }) // its panic is its own
		m.sup.mu.Lock()
	}
	m.telling = false
	m.told.Broadcast()
	m.look()
}

// guard turns a panic of the owner's code into an error.
func guard(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return f()
}

var errNotRegistered = errors.New("the group was started, but is not registered")
