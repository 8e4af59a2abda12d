package demo

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/bulkhead-wal/bulkhead/tests/cluster/internal/cluster"
)

// nodeLimit bounds the wait until all is sound after a node was restarted.
const nodeLimit = 2 * time.Minute

// rolling goes from node to node with a policy that converts every log when it is opened: to Bulkhead, and back. A datanode opens
// its logs again one by one, by the call that CubeFS has for it; metanodes and master have no such call and are restarted.
func rolling(r *run) error {
	before := r.before()
	r.w.arm()
	done := make(chan error, 1)
	go func() { done <- r.roll() }()
	var err error
	w := r.measured(func() bool {
		select {
		case err = <-done:
			return true
		default:
			return false
		}
	})
	r.result.HealthyP99DuringMS = ms(w.p99)
	if before.perSecond > 0 {
		r.result.HealthyThroughput = w.perSecond / before.perSecond
	}
	r.leaderChanges()
	return err
}

func (r *run) roll() error {
	for _, engine := range []string{cluster.EngineBulkhead, cluster.EngineCubeFS} {
		r.c.Choice = cluster.Choice{Engine: engine, Mode: r.choice.Mode, Convert: true}
		for _, n := range inOrder() {
			convert, how := r.restart, "is restarted"
			if n.Role == cluster.DataNode {
				convert, how = r.reload, "opens its logs again, one by one"
			}
			r.say(fmt.Sprintf("%s %s: they become %s's", n.Name(), how, engine))
			if err := convert(n); err != nil {
				return err
			}
			if err := r.kept(n, engine); err != nil {
				return err
			}
		}
	}
	return nil
}

// inOrder is datanodes, metanodes, master.
func inOrder() []cluster.Node {
	var nodes []cluster.Node
	for _, role := range []string{cluster.DataNode, cluster.MetaNode, cluster.Master} {
		for _, n := range cluster.Servers() {
			if n.Role == role {
				nodes = append(nodes, n)
			}
		}
	}
	return nodes
}

// restart stops a node and starts it, and waits until the target is sound.
func (r *run) restart(n cluster.Node) error {
	if err := r.c.Process(n.Name()).Stop(stopLimit); err != nil {
		return err
	}
	begin := time.Now()
	if err := r.c.StartServer(n); err != nil {
		return err
	}
	return r.sound(n, begin)
}

// wait waits until there is no problem any more, and returns the last one if the limit is over.
func wait(limit time.Duration, problem func() string) string {
	for deadline := time.Now().Add(limit); ; time.Sleep(pollEvery) {
		if found := problem(); found == "" || time.Now().After(deadline) {
			return found
		}
	}
}

// sound waits until the target is, after the logs of a node were opened again.
func (r *run) sound(n cluster.Node, begin time.Time) error {
	time.Sleep(soundFor) // until then what the others know may be from before
	if problem := r.await(nodeLimit, r.w.problem); problem != "" {
		return fmt.Errorf("after the logs of %s were opened again: %s", n.Name(), problem)
	}
	r.result.RecoveredS = (time.Since(begin) - soundFor).Seconds()
	return nil
}

const stopLimit = 5 * time.Second

// kept checks that every log of a node is one of the engine's.
func (r *run) kept(n cluster.Node, engine string) error {
	dirs, err := filepath.Glob(map[string]string{
		cluster.DataNode: filepath.Join(r.c.Layout.Disk(n), "datapartition_*", "wal_*"),
		cluster.MetaNode: filepath.Join(r.c.Layout.Dir(n), "raft", "[0-9]*"),
		cluster.Master:   filepath.Join(r.c.Layout.Dir(n), "wal", "[0-9]*"),
	}[n.Role])
	if err != nil || len(dirs) == 0 {
		return fmt.Errorf("%s has no logs", n.Name())
	}
	for _, dir := range dirs {
		_, err := os.Stat(filepath.Join(dir, "root")) // what every log of Bulkhead has
		if bulkhead := err == nil; bulkhead != (engine == cluster.EngineBulkhead) {
			return fmt.Errorf("%s was not converted: it is not %s's", dir, engine)
		}
	}
	r.say(fmt.Sprintf("all %d logs of %s are %s's", len(dirs), n.Name(), engine))
	return nil
}
