package cluster

import (
	"errors"
	"fmt"
	"time"
)

// startLimit bounds every step of starting.
const startLimit = 3 * time.Minute

// Start starts everything and waits until the volume can be written. It tells progress what it waits for, whenever that changes.
func (c *Cluster) Start(progress func(string)) error {
	for _, n := range Servers() {
		if err := c.StartServer(n); err != nil {
			return err
		}
	}
	steps := []struct {
		what string
		done func() bool
	}{
		{"the master leads", func() bool { v, err := View(); return err == nil && v.LeaderAddr != "" }},
		{"three metanodes and three datanodes are registered and writable", nodesWritable},
		{"the volume exists", volumeExists},
		{"every data partition has a leader and is ReadWrite", partitionsWritable},
	}
	for _, step := range steps {
		progress(step.what)
		if err := c.await(step.what, step.done); err != nil {
			return err
		}
	}
	progress("the volume is mounted")
	if err := c.StartClient(); err != nil {
		return errors.Join(err, c.ended())
	}
	progress("a file can be written")
	var last error
	if err := c.await("a file can be written", func() bool { last = c.probe(); return last == nil }); err != nil {
		return fmt.Errorf("%w (%v)", err, last)
	}
	return c.ended()
}

// await waits for a step, and no longer than a process has ended: what answers then may be another cluster.
func (c *Cluster) await(what string, done func() bool) error {
	for deadline := time.Now().Add(startLimit); ; {
		came := waitFor(time.Second, done)
		if err := c.ended(); err != nil || came {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("in %v it did not come about that %s; logs are in %s", startLimit, what, c.Layout.Logs)
		}
	}
}

// nodesWritable is only asked for before there is a volume: a cluster that goes on needs no new partitions.
func nodesWritable() bool {
	if _, err := DataPartitions(); err == nil {
		return true
	}
	v, err := View()
	if err != nil {
		return false
	}
	writable := 0
	for _, n := range append(v.MetaNodes, v.DataNodes...) {
		if n.IsActive && n.IsWritable {
			writable++
		}
	}
	return writable == 2*Nodes
}

func volumeExists() bool {
	if _, err := DataPartitions(); err == nil {
		return true
	}
	_ = createVolume() // refused as long as the nodes have not said how much room they have
	return false
}

func partitionsWritable() bool {
	partitions, err := DataPartitions()
	if err != nil || len(partitions) == 0 {
		return false
	}
	for _, p := range partitions {
		if p.LeaderAddr == "" || p.Status != ReadWrite {
			return false
		}
	}
	return true
}
