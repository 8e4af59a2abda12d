package supervisor

import "time"

const (
	firstStopDelay   = 20 * time.Millisecond
	longestStopDelay = time.Second
)

// stop has a group unregistered that raft has left for dead. A group that is not
// registered any more was stopped by its owner, who knows what it did: nobody is
// called, and it is not brought back; but for one that the datanode stopped while it
// loaded it, for what an earlier opening had blamed, whatever its log met meanwhile.
func (m *member) stop(o *opening) {
	if !registered(m.key.server, m.key.id) {
		m.sup.mu.Lock()
		byLoad := o.blamed
		o.down, o.untold = byLoad, byLoad
		m.sup.mu.Unlock()
		if !byLoad {
			m.drop(o)
		}
		return
	}
	m.sup.mu.Lock()
	fault := o.fault
	m.sup.mu.Unlock()
	queue := proposalsOf(m.key.server, m.key.id)
	delay := firstStopDelay
	for attempt := 0; ; attempt++ {
		if !m.counts(o) {
			return
		}
		_ = guard(func() error { o.group.Owner.Stop(fault, attempt); return nil }) // it is called again
		if !registered(m.key.server, m.key.id) {
			break
		}
		time.Sleep(delay)
		if delay *= 2; delay > longestStopDelay {
			delay = longestStopDelay
		}
	}
	unanswered := queue.count()
	m.sup.mu.Lock()
	o.down = true
	if m.patience == 0 || time.Since(m.returned) > m.sup.options.LongestDelay {
		m.patience = m.sup.options.FirstDelay
	} else {
		m.patience = shorter(2*m.patience, m.sup.options.LongestDelay)
	}
	m.delay = m.patience
	m.sup.mu.Unlock()
	m.tell(Event{Kind: Stopped, Fault: fault, Unanswered: unanswered}, o)
}

func shorter(a, b time.Duration) time.Duration {
	if a < b {
		return a
	}
	return b
}
