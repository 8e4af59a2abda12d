package demo

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/bulkhead-wal/bulkhead/tests/cluster/internal/cluster"
)

// Places of the demo's files.
type Places struct {
	Programs string
	Base     string // target/cluster
	Rules    string // monitoring/
}

func (p Places) layout(name string) cluster.Layout {
	return cluster.Layout{
		Programs: p.Programs, Run: filepath.Join(p.Base, "demo", "run"), Logs: filepath.Join(p.Base, "demo", "logs", name),
	}
}

// Arm is where the cluster of one arm of the benchmark is; several run at a time.
func (p Places) Arm(choice cluster.Choice) cluster.Layout {
	name := choice.Engine + "-" + choice.Mode
	return cluster.Layout{
		Programs: p.Programs, Run: filepath.Join(p.Base, "bench", name), Logs: filepath.Join(p.Base, "bench", "logs-"+name),
	}
}

func (p Places) template(choice cluster.Choice) string {
	return filepath.Join(p.Base, "demo", "template-"+choice.Engine+"-"+choice.Mode)
}

// clear removes clusters and templates.
func (p Places) clear() error {
	left, err := filepath.Glob(filepath.Join(p.Base, "demo", "template-*"))
	for _, dir := range append(left, filepath.Join(p.Base, "demo", "run")) {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	return err
}

func (p Places) result() string { return filepath.Join(p.Base, "demo", "result.json") }

// Template starts a cluster, writes the files, and keeps all its directories: every scenario starts from a copy.
func Template(p Places, choice cluster.Choice, progress func(string)) error {
	l := p.layout("template-" + choice.Engine)
	c, err := cluster.New(l, choice)
	if err != nil {
		return err
	}
	if err := c.Start(progress); err != nil {
		return err
	}
	progress("the files are written")
	plan, err := makePlan(c)
	if err != nil {
		return err
	}
	if err := errors.Join(c.Unmount(), c.StopServers()); err != nil {
		return err
	}
	if err := writeJSON(filepath.Join(l.Run, planName), plan); err != nil {
		return err
	}
	if err := os.RemoveAll(p.template(choice)); err != nil {
		return err
	}
	return copyTree(l.Run, p.template(choice))
}

// fresh gives a scenario its copy of the template.
func fresh(p Places, choice cluster.Choice, name string) (*cluster.Cluster, *Plan, error) {
	l := p.layout(name)
	for _, dir := range []string{l.Run, l.Logs} {
		if err := os.RemoveAll(dir); err != nil {
			return nil, nil, err
		}
	}
	if err := copyTree(p.template(choice), l.Run); err != nil {
		return nil, nil, err
	}
	plan, err := loadPlan(l.Run)
	if err != nil {
		return nil, nil, err
	}
	c, err := cluster.Resume(l, choice)
	return c, plan, err
}

func copyTree(from, to string) error {
	if output, err := exec.Command("cp", "-a", "--sparse=always", from, to).CombinedOutput(); err != nil {
		return fmt.Errorf("cp: %w: %s", err, output)
	}
	return nil
}

// partitionDir is where a datanode keeps a partition.
func partitionDir(l cluster.Layout, n cluster.Node, id uint64) (string, error) {
	found, err := filepath.Glob(filepath.Join(l.Disk(n), fmt.Sprintf("datapartition_%d_*", id)))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("%s has %d directories of partition %d", n.Name(), len(found), id)
	}
	return found[0], nil
}

func logDir(l cluster.Layout, n cluster.Node, id uint64) (string, error) {
	dir, err := partitionDir(l, n, id)
	return filepath.Join(dir, fmt.Sprintf("wal_%d", id)), err
}
