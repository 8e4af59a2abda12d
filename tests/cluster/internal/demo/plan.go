// Package demo shows in a real CubeFS cluster what becomes of a data partition whose log meets a fault, and of everybody else.
package demo

import (
	"fmt"
	"path/filepath"

	"github.com/bulkhead-wal/bulkhead/tests/cluster/internal/cluster"
	"github.com/bulkhead-wal/bulkhead/tests/cluster/internal/load"
)

const (
	// createFiles are made so that some of them lie together in one partition.
	createFiles = 14
	fileBlocks  = 256 // the client puts the first MiB of a file into one partition
	// targetFiles lie in the partition that meets the fault, healthyFiles elsewhere. One writer each.
	targetFiles  = 2
	healthyFiles = 6
	// How many writes per second each writer offers: together a third of what the cluster can do on two cores. The target gets
	// more, so that its log comes to the end of a file in time.
	targetRate  = 200
	healthyRate = 60
)

// Place is where a file of the load lies.
type Place struct {
	Name    string
	Number  int
	Extents []cluster.Extent
}

// Plan is which partition meets the fault, and which files are written.
type Plan struct {
	Target uint64
	Files  []Place // those of the target first
}

const planName = "plan.json"

// makePlan writes files through the mount, looks where they lie, and chooses.
func makePlan(c *cluster.Cluster) (*Plan, error) {
	var places []Place
	at := map[uint64][]Place{}
	for i := 0; i < createFiles; i++ {
		p := Place{Name: fmt.Sprintf("file%02d", i), Number: i}
		path := filepath.Join(c.Layout.Mount(), p.Name)
		if err := load.Create(path, i, fileBlocks); err != nil {
			return nil, err
		}
		f, err := load.Open(path, i)
		if err != nil {
			return nil, err
		}
		if p.Extents, err = cluster.Extents(f.Inode); err != nil {
			return nil, err
		}
		if id, one := p.partition(); one {
			at[id] = append(at[id], p)
			places = append(places, p)
		}
	}
	for id, there := range at {
		if len(there) < targetFiles || len(places)-len(there) < healthyFiles {
			continue
		}
		plan := &Plan{Target: id, Files: there[:targetFiles]}
		for _, p := range places {
			if where, _ := p.partition(); where != id && len(plan.Files) < targetFiles+healthyFiles {
				plan.Files = append(plan.Files, p)
			}
		}
		return plan, nil
	}
	return nil, fmt.Errorf("the files do not lie as needed: no partition has %d of them, with %d elsewhere (%d of %d lie in one partition each)",
		targetFiles, healthyFiles, len(places), createFiles)
}

// partition is the one that a file lies in; one is false if there are several.
func (p Place) partition() (id uint64, one bool) {
	for _, e := range p.Extents {
		if id != 0 && e.PartitionID != id {
			return 0, false
		}
		id = e.PartitionID
	}
	return id, id != 0
}

func loadPlan(dir string) (*Plan, error) {
	p := &Plan{}
	return p, readJSON(filepath.Join(dir, planName), p)
}
