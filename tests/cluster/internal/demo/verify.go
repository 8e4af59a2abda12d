package demo

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/bulkhead-wal/bulkhead/tests/cluster/internal/cluster"
)

// replicaFile reads a file's content as one datanode has it on its disk.
type replicaFile struct {
	dir     string // of the partition
	extents []cluster.Extent
}

func (r replicaFile) ReadAt(b []byte, off int64) (int, error) {
	for _, e := range r.extents {
		if off < e.FileOffset || off+int64(len(b)) > e.FileOffset+e.Size {
			continue
		}
		f, err := os.Open(filepath.Join(r.dir, fmt.Sprint(e.ExtentID)))
		if err != nil {
			return 0, err
		}
		defer f.Close()
		return f.ReadAt(b, e.ExtentOffset+off-e.FileOffset)
	}
	return 0, io.ErrUnexpectedEOF
}

const settleLimit = 20 * time.Second

// verify ends the load and the cluster and compares every file with what was acknowledged, on the disk of every replica.
func (r *run) verify() error {
	r.lookAway() // that servers are gone now is no alert
	close(r.stopLoad)
	time.Sleep(time.Second) // writers that can, come to an end
	if err := r.c.Unmount(); err != nil {
		return err
	}
	r.writers.Wait()
	for deadline := time.Now().Add(settleLimit); !r.w.applied() && time.Now().Before(deadline); {
		time.Sleep(pollEvery)
	}
	r.w.close()
	if err := r.c.StopServers(); err != nil {
		return err
	}
	for _, n := range dataNodes() {
		wrong, err := r.wrongAt(n)
		if err != nil {
			return err
		}
		r.result.WrongBytes += wrong
		r.result.WrongByReplica = append(r.result.WrongByReplica, wrong)
	}
	return nil
}

func (r *run) wrongAt(n cluster.Node) (wrong int, err error) {
	for i, f := range r.files {
		place := r.plan.Files[i]
		id, _ := place.partition()
		dir, err := partitionDir(r.c.Layout, n, id)
		if err != nil {
			return wrong, err
		}
		bytes, err := f.Wrong(replicaFile{dir, place.Extents})
		if err != nil {
			return wrong, fmt.Errorf("%s: %w", n.Name(), err)
		}
		wrong += bytes
	}
	return wrong, nil
}

func dataNodes() (nodes []cluster.Node) {
	for _, n := range cluster.Servers() {
		if n.Role == cluster.DataNode {
			nodes = append(nodes, n)
		}
	}
	return nodes
}
