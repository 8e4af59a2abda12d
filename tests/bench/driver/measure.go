package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

type settings struct {
	rounds     int
	slot       time.Duration
	warmUp     time.Duration
	calmLimit  time.Duration
	fillMiB    int
	everyArm   bool
	programDir string
	dataDir    string
	faultDir   string        // row B9: for disk images
	faultSlot  time.Duration // row B9
	progress   *progress
}

// measured is one arm's outcome in one workload.
type measured struct {
	arm     arm
	values  []float64 // entries per second, one for each round
	p99s    []float64 // microseconds; row B9 only
	refused int       // row B9: appends of the 63
	latency histogram // of all rounds together
	failure error
}

type outcome struct {
	row      row
	workload workload
	arms     []*measured
}

// measureRow opens all arms of a row side by side and gives them slots in turn.
func measureRow(r row, workloads []workload, s settings) ([]outcome, error) {
	running := map[string]*process{}
	defer func() {
		for _, p := range running {
			p.stop()
		}
	}()
	failures := map[string]error{}
	var arms []arm
	for _, a := range r.arms {
		if a.fullOnly && !s.everyArm {
			continue
		}
		arms = append(arms, a)
		s.progress.step(r.id + ": filling " + a.name)
		dir := filepath.Join(s.dataDir, r.id+"-"+a.name)
		p, err := startArm(filepath.Join(s.programDir, a.program), a.name, workloads[0].id, dir, s.fillMiB)
		if err != nil {
			failures[a.name] = err
			continue
		}
		running[a.name] = p
	}
	var outcomes []outcome
	for _, w := range workloads {
		o, err := measureWorkload(r, w, arms, running, failures, s)
		if err != nil {
			return nil, err
		}
		outcomes = append(outcomes, o)
	}
	return outcomes, nil
}

func measureWorkload(r row, w workload, arms []arm, running map[string]*process, failures map[string]error, s settings) (outcome, error) {
	o := outcome{row: r, workload: w}
	for _, a := range arms {
		o.arms = append(o.arms, &measured{arm: a, latency: histogram{}, failure: failures[a.name]})
	}
	calm, err := newCalm(s.dataDir, s.calmLimit)
	if err != nil {
		return o, err
	}
	defer calm.close()
	for round := -1; round < s.rounds; round++ { // round -1 warms up
		length := s.slot
		if round < 0 {
			length = s.warmUp
		}
		for turn := range arms {
			// Another arm begins each round, so that none always follows the same neighbour.
			m := o.arms[(turn+round+1)%len(arms)]
			if m.failure != nil {
				continue
			}
			s.progress.step(fmt.Sprintf("%s round %d/%d %s", w.id, round+1, s.rounds, m.arm.name))
			if err := calm.wait(); err != nil {
				return o, err
			}
			report, err := running[m.arm.name].slot(w.id, length)
			if err != nil {
				m.failure, failures[m.arm.name] = err, err
				delete(running, m.arm.name)
				continue
			}
			if round >= 0 {
				m.values = append(m.values, report.Value)
				m.latency.add(report.Histogram)
			}
		}
	}
	return o, nil
}

// calm waits for the filesystem's journal. What an arm deletes is often discarded on the device at
// the next commits, which then take many times as long: without a wait one arm would pay for the
// arm before it.
type calm struct {
	file  *os.File
	limit time.Duration
	best  time.Duration
}

func newCalm(dir string, limit time.Duration) (*calm, error) {
	file, err := os.CreateTemp(dir, "calm-")
	if err != nil {
		return nil, err
	}
	return &calm{file: file, limit: limit}, nil
}

// wait returns when a journal commit takes at most twice as long as the fastest one seen, or at the limit.
func (c *calm) wait() error {
	for start := time.Now(); time.Since(start) < c.limit; {
		before := time.Now()
		if err := c.commit(); err != nil {
			return err
		}
		took := time.Since(before)
		if c.best == 0 || took < c.best {
			c.best = took
		}
		if took <= 2*c.best {
			return nil
		}
	}
	return nil
}

// commit makes a journal commit: fsync of a file whose size has changed.
func (c *calm) commit() error {
	if _, err := c.file.Write([]byte{0}); err != nil {
		return err
	}
	return c.file.Sync()
}

func (c *calm) close() {
	c.file.Close()
	os.Remove(c.file.Name())
}
