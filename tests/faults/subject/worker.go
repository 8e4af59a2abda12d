package main

import (
	"errors"
	"fmt"
	"time"
)

type command struct {
	name string
	args []string
}

// worker executes the commands of one partition.
type worker struct {
	partition uint64
	system    system
	out       *writer
	queue     chan command
	log       logStore
	dir       string
	lastTerm  uint64 // of the last append; a load goes on with it
	load      *load
}

var errNotOpen = errors.New("the partition is not open: send open first")

func (w *worker) run() {
	for c := range w.queue {
		start := time.Now()
		r := reply{"p": w.partition}
		err := w.execute(c, r)
		finish(w.system, r, c.name, start, err)
		w.out.send(r)
	}
}

// arguments is how many numbers each command takes after the partition.
var arguments = map[string]int{
	"append": 4, "read": 2, "vote": 3, "hardstate": 0, "compact": 1, "sync": 0, "verify": 0, "recover": 0, "state": 0, "load": 3,
	"loadstop": 0, "close": 0,
}

func (w *worker) execute(c command, r reply) error {
	if c.name == "open" {
		return w.open(c.args, r)
	}
	want, known := arguments[c.name]
	if !known {
		return fmt.Errorf("there is no command %q", c.name)
	}
	args, err := numbers(c.args)
	if err != nil {
		return err
	}
	if len(args) != want {
		return fmt.Errorf("%s takes %d numbers after the partition, not %d", c.name, want, len(args))
	}
	if w.log == nil {
		if c.name == "recover" && !w.system.healsItself() {
			return errUnsupported // also after a close, which is how its owner recovers
		}
		return errNotOpen
	}
	return w.call(c.name, args, r)
}

func (w *worker) call(name string, args []uint64, r reply) error {
	switch name {
	case "append":
		return w.append(args[0], args[1], int(args[2]), args[3])
	case "read":
		return w.read(args[0], args[1], r)
	case "vote":
		return w.log.setHardState(hardState{args[0], args[1], args[2]})
	case "hardstate":
		return w.hardState(r)
	case "compact":
		return w.log.compact(args[0])
	case "sync":
		if s, ok := w.log.(syncer); ok {
			return s.sync()
		}
		return errUnsupported
	case "verify":
		if s, ok := w.log.(verifier); ok {
			return s.verify()
		}
		return errUnsupported
	case "recover":
		if s, ok := w.log.(recoverer); ok {
			return s.recover()
		}
		return errUnsupported
	case "state":
		return w.state(r)
	case "load":
		return w.startLoad(int(args[0]), time.Duration(args[1])*time.Second, time.Duration(args[2])*time.Microsecond)
	case "loadstop":
		return w.stopLoad(r)
	default:
		return w.close()
	}
}

// open takes the directory and, if the owner knows one, an index that must be there.
func (w *worker) open(args []string, r reply) error {
	if len(args) != 1 && len(args) != 2 {
		return errors.New("open takes a partition, a directory without blanks and perhaps a known index")
	}
	if w.log != nil {
		return errors.New("the partition is open already")
	}
	rest, err := numbers(args[1:])
	if err != nil {
		return err
	}
	known := uint64(0)
	if len(rest) == 1 {
		known = rest[0]
	}
	log, err := w.system.open(w.partition, args[0], known)
	if err != nil {
		return err
	}
	w.log, w.dir = log, args[0]
	return w.state(r)
}

func (w *worker) append(first, count uint64, bytes int, term uint64) error {
	entries := make([]entry, count)
	for i := range entries {
		index := first + uint64(i)
		entries[i] = entry{index, term, payload(w.partition, index, term, bytes)}
	}
	w.lastTerm = term
	return w.log.append(entries)
}

func (w *worker) hardState(r reply) error {
	state, err := w.log.hardState()
	if err != nil {
		return err
	}
	r["term"], r["vote"], r["commit"] = state.term, state.vote, state.commit
	return nil
}

func (w *worker) state(r reply) error {
	first, last, err := w.log.bounds()
	if err == nil {
		r["first"], r["last"] = first, last
	}
	if s, ok := w.log.(reporter); ok {
		return s.report(r)
	}
	return err
}

// close gives the log up whatever it says: no system takes calls after a close that failed.
func (w *worker) close() error {
	err := w.log.close()
	w.log = nil
	return err
}
