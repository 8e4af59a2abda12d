package demo

import (
	"errors"
	"fmt"
	"sort"
	"time"

	"github.com/bulkhead-wal/bulkhead/tests/cluster/internal/cluster"
)

const (
	// takeOverLimit bounds the wait until another node leads a group.
	takeOverLimit = 5 * time.Second
	// electionLeast after its leader has stopped, a group begins to elect another one (six ticks of 300 ms): to be left alone then.
	electionLeast = 1500 * time.Millisecond
	// standEvery is how often it is asked whether a partition is detached, and whether its logs stand still.
	standEvery = 20 * time.Millisecond
)

// reload opens the logs of a datanode again, one by one.
func (r *run) reload(n cluster.Node) error {
	if err := r.c.Choice.SetPolicy(n); err != nil {
		return err
	}
	partitions, err := cluster.LocalPartitions(n)
	if err != nil {
		return err
	}
	begin := time.Now()
	for _, p := range partitions {
		begin = time.Now()
		if err := r.reloadOne(n, p.ID); err != nil {
			return err
		}
	}
	return r.sound(n, begin)
}

// reloadOne opens a log again. If the node leads the group another one takes the lead at once: that is all that its writers notice.
func (r *run) reloadOne(n cluster.Node, partition uint64) error {
	before, err := cluster.Raft(n, partition)
	if err != nil {
		return err
	}
	reloaded := make(chan struct{})
	go func() {
		err = cluster.Reload(n, partition)
		close(reloaded)
	}()
	if before.Leader == before.NodeID {
		if problem := takeOver(n, partition, before.Term, reloaded); problem != "" {
			r.say(fmt.Sprintf("partition %d, which %s led: %s", partition, n.Name(), problem))
		}
	}
	if <-reloaded; err != nil {
		return err
	}
	after, err := takesPart(n, partition)
	if err != nil {
		return err
	}
	changes := after.Term - before.Term
	if changes > leaderChanges {
		r.say(fmt.Sprintf("partition %d went from term %d to %d while %s opened its log again", partition, before.Term, after.Term, n.Name()))
	}
	r.switches = append(r.switches, changes)
	return nil
}

// takesPart waits until a node takes part in a group.
func takesPart(n cluster.Node, partition uint64) (s cluster.RaftStatus, err error) {
	problem := wait(nodeLimit, func() string {
		if s, err = cluster.Raft(n, partition); err != nil || s.Stopped || s.Leader == 0 || s.Applied < s.Commit {
			return fmt.Sprintf("partition %d takes no part in raft on %s", partition, n.Name())
		}
		return ""
	})
	if problem != "" {
		return s, errors.New(problem)
	}
	return s, nil
}

// takeOver has another datanode lead a group whose leader is being reloaded, in place of the wait for an election. It is the one with
// the longer log once nothing is written any more, so that the third votes for it. Asked before the reload, CubeFS has a node stand
// for election whose log may lack what is under way: it is not elected, the term goes up for nothing, and an election follows.
func takeOver(from cluster.Node, partition, term uint64, reloaded <-chan struct{}) (problem string) {
	begin := time.Now()
	for under := false; !under; {
		select {
		case <-reloaded:
			under = true
		case <-time.After(standEvery):
			under = detached(from, partition)
		}
	}
	var others, before []cluster.RaftStatus
	still := func() bool {
		return before != nil && others[0].Index == before[0].Index && others[1].Index == before[1].Index
	}
	nodes := otherDataNodes(from)
	for ; !still(); time.Sleep(standEvery) {
		before, others = others, nil
		for _, n := range nodes {
			s, err := cluster.Raft(n, partition)
			switch {
			case err != nil:
				return fmt.Sprintf("left to an election, as %s does not say how far it is: %v", n.Name(), err)
			case s.Term > term:
				return "" // they have found out by themselves
			case time.Since(begin) > electionLeast:
				return fmt.Sprintf("left to an election, as the logs do not stand still within %v", electionLeast)
			}
			others = append(others, s)
		}
	}
	next := nodes[0]
	if others[1].Index > others[0].Index {
		next = nodes[1]
	}
	if err := cluster.ChangeLeader(next, partition); err != nil {
		return err.Error()
	}
	return wait(takeOverLimit, func() string {
		s, err := cluster.Raft(next, partition)
		if err != nil || s.Leader != s.NodeID {
			return fmt.Sprintf("%s has not taken the lead, at index %d and %d", next.Name(), others[0].Index, others[1].Index)
		}
		return ""
	})
}

// detached tells whether a datanode has taken a partition out of its list, which is how a reload begins: no write gets in any more.
func detached(n cluster.Node, partition uint64) bool {
	partitions, err := cluster.LocalPartitions(n)
	for _, p := range partitions {
		if p.ID == partition {
			return false
		}
	}
	return err == nil
}

func otherDataNodes(than cluster.Node) (others []cluster.Node) {
	for _, n := range dataNodes() {
		if n != than {
			others = append(others, n)
		}
	}
	return others
}

// leaderChanges says what the groups noticed of it.
func (r *run) leaderChanges() {
	if len(r.switches) == 0 {
		return
	}
	sort.Slice(r.switches, func(i, j int) bool { return r.switches[i] < r.switches[j] })
	most := r.switches[len(r.switches)-1]
	r.result.LeaderChanges = &most
	none := sort.Search(len(r.switches), func(i int) bool { return r.switches[i] > 0 })
	r.say(fmt.Sprintf("%d times a group was switched over on a datanode: %d leader changes at the most, none in %d", len(r.switches), most, none))
}
