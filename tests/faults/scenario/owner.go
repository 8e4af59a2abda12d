package scenario

import (
	"errors"
	"time"

	"github.com/bulkhead-wal/bulkhead/tests/faults/driver"
)

const (
	// callLimit is how long a call may take before it counts as hung: far over every limit that a log may have of its own.
	callLimit = 30 * time.Second
	killLimit = 10 * time.Second
)

// Owner is a process that owns partitions of the system under test.
type Owner struct {
	*driver.Subject
	env *Env
}

// Start starts an owner, under the programs of prefix (strace) if there are any.
func (e *Env) Start(prefix ...string) *Owner { return e.StartWith(prefix) }

// StartWith is Start with further arguments of the subject.
func (e *Env) StartWith(prefix []string, arguments ...string) *Owner {
	return e.StartAs(e.System.Name, prefix, arguments...)
}

// StartAs starts an owner of another system's logs, by the same program.
func (e *Env) StartAs(system string, prefix []string, arguments ...string) *Owner {
	command := append(append([]string{}, prefix...), e.System.Program, "-system", system, "-mode", e.Mode)
	s, err := driver.Start(append(command, arguments...))
	e.must(err)
	o := &Owner{s, e}
	e.owners = append(e.owners, o)
	return o
}

// Do sends a command and waits for its answer. No answer ends the run as hung or died.
func (o *Owner) Do(partition uint64, words ...any) driver.Reply {
	return o.Await(o.Send(partition, words...), callLimit)
}

// Await waits for an answer. None ends the run.
func (o *Owner) Await(c *driver.Call, limit time.Duration) driver.Reply {
	r, err := c.Wait(limit)
	o.env.survives(err)
	return r
}

// survives ends the run if an owner hangs or died.
func (e *Env) survives(err error) {
	switch {
	case errors.Is(err, driver.ErrHung):
		e.End(Hung, "%v", err)
	case errors.Is(err, driver.ErrDied):
		e.End(Died, "%v", err)
	case err != nil:
		e.End(Broken, "%v", err)
	}
}

// Quit ends the owner's process without closing anything.
func (o *Owner) Quit() { o.env.survives(o.Kill(killLimit)) }

// Open opens a log and says what it is. A refusal ends the run.
func (o *Owner) Open(l *Ledger) driver.Reply {
	r := o.Do(l.Partition, "open", l.Dir)
	if !r.OK {
		o.env.End(Failed, "the log does not open: %s", r.Problem())
	}
	return r
}

// OpenWritable also waits until the log takes writes, by the system's documented way to go on.
func (o *Owner) OpenWritable(l *Ledger) driver.Reply {
	r := o.Open(l)
	if r.State != "" && r.State != "ReadWrite" {
		o.Recover(l)
	}
	return r
}

// Close closes a log. An error is an answer like any other.
func (o *Owner) Close(l *Ledger) driver.Reply { return o.Do(l.Partition, "close") }

// Recover goes on after an error, by the system's own call; by closing and opening if it has none; and in a new process, where
// other partitions are not open, if that fails.
func (o *Owner) Recover(l *Ledger) driver.Reply {
	r := o.Do(l.Partition, "recover")
	if !r.Unsupported {
		return r
	}
	o.Close(l)
	if r = o.Do(l.Partition, "open", l.Dir); !r.OK {
		o.restart()
		r = o.Do(l.Partition, "open", l.Dir)
	}
	return r
}

// AfterError does what a system's users do after an error before they call the log again, or nothing.
func (o *Owner) AfterError(l *Ledger) {
	if o.env.System.Retries {
		return
	}
	if r := o.Recover(l); !r.OK {
		o.env.End(Failed, "after the error it does not open again: %s", r.Problem())
	}
}

// again calls a log again that has just failed, if its users do.
func (o *Owner) again(l *Ledger) driver.Reply {
	if o.env.System.Retries {
		return o.Append(l, 1, 10)
	}
	return driver.Reply{}
}

// LetGo closes a log that failed, so that its disk can be taken down. Some systems keep files open when their close fails, and
// their owners end the process after an error anyway: those without states of health get a new process.
func (o *Owner) LetGo(l *Ledger) {
	if o.Close(l); !o.env.System.has(States) {
		o.restart()
	}
}

func (o *Owner) restart() {
	o.Quit()
	o.Subject = o.env.Start().Subject
}

// Append appends one batch and keeps in the ledger what was acknowledged.
func (o *Owner) Append(l *Ledger, count int, bytes int) driver.Reply {
	r := o.Do(l.Partition, l.appendWords(count, bytes)...)
	if r.OK {
		l.acknowledged(uint64(count))
	}
	return r
}

// MustAppend appends where nothing is in the way.
func (o *Owner) MustAppend(l *Ledger, count, bytes int) {
	if r := o.Append(l, count, bytes); !r.OK {
		o.env.End(Failed, "an append without a cause to fail failed: %s", r.Problem())
	}
}

// Fill appends single entries until one is refused or there are n. It returns the refusal.
func (o *Owner) Fill(l *Ledger, n, bytes int) (driver.Reply, bool) {
	for i := 0; i < n; i++ {
		if r := o.Append(l, 1, bytes); !r.OK {
			return r, true
		}
	}
	return driver.Reply{}, false
}

// Vote stores a hard state and keeps in the ledger what was acknowledged. The commit is the lowest that a log may take.
func (o *Owner) Vote(l *Ledger, term, vote uint64) driver.Reply {
	l.offered(term, vote)
	r := o.Do(l.Partition, "vote", term, vote, l.compactedMaybe)
	if r.OK {
		l.Term, l.Vote = term, vote
	}
	return r
}

// MustVote votes where nothing is in the way. A system without hard state is let off.
func (o *Owner) MustVote(l *Ledger, term, vote uint64) {
	if r := o.Vote(l, term, vote); !r.OK && !r.Unsupported {
		o.env.End(Failed, "a vote without a cause to fail failed: %s", r.Problem())
	}
}

// Sync makes durable what is acknowledged, if the system has a way to.
func (o *Owner) Sync(l *Ledger) driver.Reply {
	r := o.Do(l.Partition, "sync")
	if r.OK {
		l.Durable = l.Last
	}
	return r
}

// Compact drops entries up to an index.
func (o *Owner) Compact(l *Ledger, index uint64) driver.Reply {
	r := o.Do(l.Partition, "compact", index)
	if index > l.compactedMaybe {
		l.compactedMaybe = index
	}
	return r
}

// State asks for a log's state.
func (o *Owner) State(l *Ledger) driver.Reply { return o.Do(l.Partition, "state") }

// AwaitEvent waits for an event of a partition, asking for nothing but events.
func (o *Owner) AwaitEvent(limit time.Duration, wanted func(driver.Event) bool) (driver.Event, bool) {
	for deadline := time.Now().Add(limit); ; time.Sleep(2 * time.Millisecond) {
		for _, e := range o.Do(0, "events").Events {
			if wanted(e) {
				return e, true
			}
		}
		if time.Now().After(deadline) {
			return driver.Event{}, false
		}
	}
}
