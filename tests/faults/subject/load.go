package main

import (
	"errors"
	"sort"
	"time"
)

// load appends in the background, one entry at a time, with a pause after each if it is to leave the processor to others.
type load struct {
	stop chan struct{}
	done chan struct{}

	// Read only after done.
	last         uint64
	latencies    []time.Duration
	errors       int
	firstError   error
	firstErrorNs int64
	lastOkNs     int64
	elapsed      time.Duration
}

const retryAfter = time.Millisecond

func (w *worker) startLoad(bytes int, length, pause time.Duration) error {
	if w.load != nil {
		return errors.New("a load runs already: send loadstop")
	}
	_, last, err := w.log.bounds()
	if err != nil {
		return err
	}
	if w.lastTerm == 0 {
		w.lastTerm = 1
	}
	l := &load{stop: make(chan struct{}), done: make(chan struct{}), last: last}
	w.load = l
	go l.run(w.log, w.partition, w.lastTerm, bytes, length, pause, w.system.healsItself())
	return nil
}

// run goes on after an error only with a system that promises to heal: another one's owner would close it now.
func (l *load) run(log logStore, partition, term uint64, bytes int, length, pause time.Duration, goOn bool) {
	defer close(l.done)
	begin := time.Now()
	defer func() { l.elapsed = time.Since(begin) }()
	for time.Since(begin) < length {
		select {
		case <-l.stop:
			return
		default:
		}
		next := []entry{{l.last + 1, term, payload(partition, l.last+1, term, bytes)}}
		start := time.Now()
		err := log.append(next)
		if err == nil {
			l.latencies = append(l.latencies, time.Since(start))
			l.last++
			l.lastOkNs = monotonicNs()
			if pause > 0 {
				time.Sleep(pause)
			}
			continue
		}
		l.errors++
		if l.firstError == nil {
			l.firstError, l.firstErrorNs = err, monotonicNs()
		}
		if !goOn {
			return
		}
		time.Sleep(retryAfter)
	}
}

func (w *worker) stopLoad(r reply) error {
	if w.load == nil {
		return errors.New("no load runs")
	}
	l := w.load
	close(l.stop)
	<-l.done
	w.load = nil
	r["appends"], r["last"], r["errors"], r["seconds"] = len(l.latencies), l.last, l.errors, l.elapsed.Seconds()
	r["last_ok_t_ns"] = l.lastOkNs
	if l.firstError != nil {
		r["first_error"], r["first_error_t_ns"] = l.firstError.Error(), l.firstErrorNs
		r["first_error_status"], r["first_error_errno"] = w.system.typed(l.firstError), int(errnoOf(l.firstError))
	}
	if n := len(l.latencies); n > 0 {
		sort.Slice(l.latencies, func(i, j int) bool { return l.latencies[i] < l.latencies[j] })
		at := func(share float64) float64 { return float64(l.latencies[int(share*float64(n-1))].Nanoseconds()) / 1000 }
		r["p50_us"], r["p99_us"], r["max_us"] = at(0.5), at(0.99), at(1)
	}
	return nil
}
