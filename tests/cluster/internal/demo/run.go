package demo

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/bulkhead-wal/bulkhead/tests/cluster/internal/cluster"
	"github.com/bulkhead-wal/bulkhead/tests/cluster/internal/load"
	"github.com/bulkhead-wal/bulkhead/tests/cluster/internal/waldisk"
)

const (
	pollEvery = 100 * time.Millisecond
	// soundLimit bounds the wait until the partition is sound before the fault.
	soundLimit = 2 * time.Minute
	baseline   = 15 * time.Second
	// A fault lasts at least so long,
	faultLeast = 20 * time.Second
	// and no longer than this, whoever has been told.
	faultMost = 90 * time.Second
	// recoverMost is how long it is waited for the partition to be sound again.
	recoverMost = 90 * time.Second
	// soundFor is how long it must have been sound to count.
	soundFor = 3 * time.Second
	// A writer that has nothing acknowledged for so long is stalled.
	stall = 10 * time.Second
	// resumedWrites within the last second mean that writers of the target go on.
	resumedWrites = 20
)

// run is one scenario with one engine, under way.
type run struct {
	choice   cluster.Choice
	places   Places
	c        *cluster.Cluster
	plan     *Plan
	w        *watch
	disks    map[int]*waldisk.Disk // of the target's logs, by the number of the datanode
	files    []*load.File          // those of the target first
	stopLoad chan struct{}
	writers  sync.WaitGroup
	begin    time.Time
	switches []uint64 // leader changes of each reload of a group
	result   *Result

	lookAway func()     // ends Prometheus
	alertMu  sync.Mutex // protects what is below: the scenario's alert
	fault    time.Time
	fired    time.Time // the first one
	over     time.Time // the last one
	firing   int
}

// One runs one scenario; it is to be called in namespaces of its own, which end with it.
func One(p Places, choice cluster.Choice, s Scenario) error {
	result := &Result{Engine: choice.Engine, Mode: choice.Mode, Scenario: s.Name, NodeToldS: -1, ReactedS: -1, MasterToldS: -1, ResumedS: -1, RecoveredS: -1,
		AlertS: -1, AlertOverS: -1}
	r := &run{choice: choice, places: p, result: result, disks: map[int]*waldisk.Disk{}, stopLoad: make(chan struct{}), begin: time.Now()}
	if err := r.play(s); err != nil {
		result.Error = err.Error()
		if r.c != nil {
			_ = r.c.Unmount() // writers that hang in it would keep this process; whatever it says, the namespaces end
		}
	}
	return writeJSON(p.result(), result)
}

func (r *run) play(s Scenario) (err error) {
	name := r.choice.Engine + "-" + s.Name
	r.say("a copy of the cluster, with the target's logs on disks of their own")
	if r.c, r.plan, err = fresh(r.places, s.start(r.choice), name); err != nil {
		return err
	}
	if s.From == "" { // a conversion keeps the original beside the log: it has the room of the whole disk
		if err := r.logDisks(s); err != nil {
			return err
		}
	}
	if err := r.c.Start(func(what string) { r.say("waiting until " + what) }); err != nil {
		return err
	}
	r.w = startWatch(r.plan.Target)
	if err := r.startLoad(); err != nil {
		return err
	}
	go r.show()
	if err := r.lookOn(); err != nil {
		return err
	}
	if problem := r.await(soundLimit, r.w.problem); problem != "" {
		return errors.New("the partition is not sound before the fault: " + problem)
	}
	if err := s.play(r); err != nil {
		return err
	}
	r.judge()
	return r.verify()
}

// logDisks puts the target's log on a disk of its own, on every datanode.
func (r *run) logDisks(s Scenario) error {
	program := ""
	if s.Bad {
		program = filepath.Join(r.places.Programs, "badblocks")
	}
	for _, n := range dataNodes() {
		log, err := logDir(r.c.Layout, n, r.plan.Target)
		if err != nil {
			return err
		}
		if r.disks[n.Number], err = waldisk.New(filepath.Join(r.c.Layout.Run, "waldisk", n.Name()), log, program); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) startLoad() error {
	for _, place := range r.plan.Files {
		f, err := load.Open(filepath.Join(r.c.Layout.Mount(), place.Name), place.Number)
		if err != nil {
			return err
		}
		r.files = append(r.files, f)
	}
	failed := make(chan error, len(r.files))
	for i, f := range r.files {
		rate := healthyRate
		if i < targetFiles {
			rate = targetRate
		}
		r.writers.Add(1)
		go func() {
			defer r.writers.Done()
			failed <- f.Run(rate, r.stopLoad)
		}()
	}
	select {
	case err := <-failed:
		return err
	case <-time.After(time.Second):
		return nil
	}
}

// await waits until there is no problem any more, for as long as soundFor; it returns the last one if the limit is over.
func (r *run) await(limit time.Duration, problem func() string) string {
	var since time.Time
	for deadline := time.Now().Add(limit); ; time.Sleep(pollEvery) {
		found := problem()
		switch {
		case found != "":
			since = time.Time{}
		case since.IsZero():
			since = time.Now()
		case time.Since(since) > soundFor:
			return ""
		}
		if found != "" && time.Now().After(deadline) {
			return found
		}
	}
}

// show prints a line a second.
func (r *run) show() {
	last := make([]int64, len(r.files))
	for range time.Tick(time.Second) {
		line := ""
		for i, f := range r.files {
			n := f.Writes()
			mark := ""
			if i < targetFiles {
				mark = "*"
			}
			line += fmt.Sprintf("%s%d ", mark, n-last[i])
			last[i] = n
		}
		select {
		case <-r.w.stop:
			return
		default:
		}
		fmt.Printf("%5.0f s  writes/s %s| %s\n", time.Since(r.begin).Seconds(), line, r.w)
	}
}

func (r *run) say(text string) { fmt.Printf("%5.0f s  -- %s\n", time.Since(r.begin).Seconds(), text) }
