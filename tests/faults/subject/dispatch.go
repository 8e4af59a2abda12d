package main

import (
	"fmt"
	"os"
	"sync"
	"time"
)

// dispatcher gives each partition a goroutine of its own: one that hangs must not keep the others' commands waiting.
// Commands of one partition are answered in order; every reply says which command and partition it belongs to.
type dispatcher struct {
	system  system
	out     *writer
	workers map[uint64]*worker
	running sync.WaitGroup
}

func newDispatcher(sys system, out *os.File) *dispatcher {
	return &dispatcher{system: sys, out: &writer{out: out}, workers: make(map[uint64]*worker)}
}

func (d *dispatcher) dispatch(words []string) {
	start := time.Now()
	switch words[0] {
	case "quit":
		d.drain()
		d.answer(words[0], start, reply{}, nil)
	case "events":
		events, err := d.system.events()
		d.answer(words[0], start, reply{"events": events}, err)
	case "shared":
		s, ok := d.system.(sharer)
		if !ok {
			d.answer(words[0], start, reply{}, errUnsupported)
			return
		}
		n, err := s.shared()
		d.answer(words[0], start, reply{"shared": n}, err)
	default:
		d.toWorker(words, start)
	}
}

func (d *dispatcher) toWorker(words []string, start time.Time) {
	if len(words) < 2 {
		d.answer(words[0], start, reply{}, fmt.Errorf("%s needs a partition", words[0]))
		return
	}
	args, err := numbers(words[1:2])
	if err != nil {
		d.answer(words[0], start, reply{}, err)
		return
	}
	w := d.workers[args[0]]
	if w == nil {
		w = &worker{partition: args[0], system: d.system, out: d.out, queue: make(chan command, 1024)}
		d.workers[args[0]] = w
		d.running.Add(1)
		go func() {
			defer d.running.Done()
			w.run()
		}()
	}
	w.queue <- command{name: words[0], args: words[2:]}
}

// drain waits until all that was asked is answered.
func (d *dispatcher) drain() {
	for _, w := range d.workers {
		close(w.queue)
	}
	d.workers = nil
	d.running.Wait()
}

func (d *dispatcher) answer(name string, start time.Time, r reply, err error) {
	finish(d.system, r, name, start, err)
	d.out.send(r)
}

// finish adds what every reply carries.
func finish(sys system, r reply, name string, start time.Time, err error) {
	r["cmd"], r["ok"], r["ms"], r["t_ns"] = name, true, milliseconds(time.Since(start)), monotonicNs()
	if err != nil {
		r.fail(sys, err)
	}
}
