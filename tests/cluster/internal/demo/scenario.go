package demo

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/bulkhead-wal/bulkhead/tests/cluster/internal/cluster"
	"github.com/bulkhead-wal/bulkhead/tests/cluster/internal/load"
)

// Scenario is one fault.
type Scenario struct {
	Name string
	What string
	Bad  bool   // the logs lie on disks with bad blocks
	From string // the engine of the cluster it starts with, if it is not the one it is about
	play func(*run) error
}

// Scenarios are all of them, in the order in which they are run.
var Scenarios = []Scenario{
	{Name: "follower-dies", What: "the disk under one follower's log answers EIO to everything", play: func(r *run) error { return r.disksDie(follower) }},
	{Name: "leader-dies", What: "the same under the leader's log", play: func(r *run) error { return r.disksDie(leader) }},
	{Name: "two-die", What: "the same under two of three, the leader's among them", play: func(r *run) error { return r.disksDie(leader, follower) }},
	{Name: "bad-block", What: "one bad block that the leader's log is about to write to", Bad: true, play: badBlock},
	{Name: "full", What: "the filesystem of the leader's log is full, and later not any more", play: full},
	{Name: "kill", What: "kill -9 of the leader's datanode, which is started again", play: kill},
	{Name: "rolling", What: "every log of every node is imported from CubeFS's WAL, node by node, and exported back", From: cluster.EngineCubeFS, play: rolling},
}

// Find finds scenarios by their names, separated by commas; all of them if names is empty.
func Find(names string) ([]Scenario, error) {
	if names == "" {
		return Scenarios, nil
	}
	var found []Scenario
	var known []string
	for _, s := range Scenarios {
		known = append(known, s.Name)
	}
	for _, name := range strings.Split(names, ",") {
		n := len(found)
		for _, s := range Scenarios {
			if s.Name == name {
				found = append(found, s)
			}
		}
		if len(found) == n {
			return nil, fmt.Errorf("SCENARIO=%s: it must be of %s", name, strings.Join(known, ", "))
		}
	}
	return found, nil
}

type place int

const (
	leader place = iota
	follower
)

// at finds replicas by their part in raft: the numbers of their datanodes.
func (r *run) at(places ...place) ([]int, error) {
	first, ok := r.w.leader()
	if !ok {
		return nil, errors.New("nobody leads the target")
	}
	var numbers []int
	for _, p := range places {
		if p == leader {
			numbers = append(numbers, first)
			continue
		}
		numbers = append(numbers, first%cluster.Nodes+1)
	}
	return numbers, nil
}

func (r *run) disksDie(where ...place) error {
	before := r.before()
	victims, err := r.at(where...)
	if err != nil {
		return err
	}
	r.say(fmt.Sprintf("the disks under the logs of datanodes %v die", victims))
	r.strikes(victims...)
	fault := time.Now()
	for _, v := range victims {
		if err := r.disks[v].Die(); err != nil {
			return err
		}
	}
	r.during(before, fault, r.masterTold)
	var mended time.Time
	for i, v := range victims {
		r.say(fmt.Sprintf("the disk of datanode %d is back", v))
		if err := r.disks[v].Return(); err != nil {
			return err
		}
		mended = time.Now()
		if i == 0 {
			r.resumed(mended, recoverMost)
		}
	}
	r.recovery(mended)
	return nil
}

const (
	// metLimit is how long it is waited for the log to write to the bad block.
	metLimit = 5 * time.Second
	// writeBackAfter is when the kernel is told to write back: a log without flushes may have truncated what it wrote before the
	// kernel does so by itself, half a minute later.
	writeBackAfter = 2 * time.Second
	spoilAttempt   = 5
)

func badBlock(r *run) error {
	before := r.before()
	victims, err := r.at(leader)
	if err != nil {
		return err
	}
	disk := r.disks[victims[0]]
	r.strikes(victims...)
	for i := 0; disk.Hits() == 0; i++ {
		if i == spoilAttempt {
			return errors.New("the log never wrote to the bad block")
		}
		r.say(fmt.Sprintf("a block goes bad under the log of datanode %d", victims[0]))
		if err := disk.SpoilAhead(load.Mark()); err != nil {
			return err
		}
		written := time.AfterFunc(writeBackAfter, disk.WriteBack)
		for begin := time.Now(); disk.Hits() == 0 && time.Since(begin) < metLimit; {
			time.Sleep(pollEvery)
		}
		written.Stop()
	}
	met := time.Now()
	r.say("the bad block was met; it stays bad")
	r.during(before, met, func() bool { return true })
	r.recovery(time.Now())
	return nil
}

func full(r *run) error {
	before := r.before()
	victims, err := r.at(leader)
	if err != nil {
		return err
	}
	disk := r.disks[victims[0]]
	r.say(fmt.Sprintf("the filesystem of datanode %d's log gets full", victims[0]))
	r.strikes(victims...)
	fault := time.Now()
	if err := disk.Fill(); err != nil {
		return err
	}
	r.during(before, fault, r.masterTold)
	r.say("space is there again")
	if err := disk.Drain(); err != nil {
		return err
	}
	mended := time.Now()
	r.resumed(mended, recoverMost)
	r.recovery(mended)
	return nil
}

func kill(r *run) error {
	before := r.before()
	victims, err := r.at(leader)
	if err != nil {
		return err
	}
	node := cluster.Node{Role: cluster.DataNode, Number: victims[0]}
	r.say("kill -9 of " + node.Name())
	r.strikes(victims...)
	fault := time.Now()
	if err := r.c.Process(node.Name()).Kill(); err != nil {
		return err
	}
	r.during(before, fault, r.masterTold)
	r.say(node.Name() + " is started again")
	mended := time.Now()
	if err := r.c.StartServer(node); err != nil {
		return err
	}
	r.resumed(mended, recoverMost)
	r.recovery(mended)
	return nil
}
