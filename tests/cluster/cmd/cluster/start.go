package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/bulkhead-wal/bulkhead/tests/cluster/internal/build"
	"github.com/bulkhead-wal/bulkhead/tests/cluster/internal/cluster"
	"github.com/bulkhead-wal/bulkhead/tests/cluster/internal/monitor"
)

// prepare installs and builds what is missing, with progress.
func prepare(p build.Paths) error {
	begin := time.Now()
	progress := func(what string) { fmt.Printf("%6.1f s  building: %s\n", time.Since(begin).Seconds(), what) }
	err := build.Packages(progress)
	if os.Geteuid() != 0 {
		return errors.Join(errors.New("needs root: it mounts a volume, and filesystems on loop devices"), err)
	}
	if err != nil {
		return err
	}
	if err := build.Devices(); err != nil {
		return err
	}
	return build.All(p, progress)
}

func start(p build.Paths) error {
	choice := cluster.Choice{Engine: env("ENGINE", cluster.EngineBulkhead), Mode: env("MODE", "sync")}
	if err := choice.Check(); err != nil {
		return err
	}
	lock, err := claim(p, "run")
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := prepare(p); err != nil {
		return err
	}
	c, err := cluster.New(layout(p), choice)
	if err != nil {
		return err
	}
	begin := time.Now()
	err = c.Start(func(what string) { fmt.Printf("%6.1f s  waiting until %s\n", time.Since(begin).Seconds(), what) })
	if err != nil {
		return errors.Join(err, c.Stop())
	}
	fmt.Printf("%6.1f s  ready; Prometheus is started\n\n", time.Since(begin).Seconds())
	describe(c)
	return lookOn(p, c)
}

// lookOn leaves Prometheus and Grafana running with the cluster. It is of use without them, too.
func lookOn(p build.Paths, c *cluster.Cluster) error {
	defer fmt.Println("end it    make cluster-stop")
	address, err := monitor.Prometheus(c, filepath.Join(p.Root, "monitoring"))
	if err != nil {
		return fmt.Errorf("the cluster runs, Prometheus does not: %w", err)
	}
	fmt.Printf("watch it  %s/alerts: Prometheus, with the rules of monitoring/\n", address)
	board, err := monitor.Grafana(c, filepath.Join(p.Root, "monitoring/dashboard.json"), address)
	switch {
	case err != nil:
		return fmt.Errorf("the cluster and Prometheus run, Grafana does not: %w", err)
	case board == "":
		fmt.Println("          no Grafana is installed; monitoring/dashboard.json is its dashboard")
	default:
		fmt.Printf("          %s: Grafana, with the dashboard\n", board)
	}
	return nil
}

func describe(c *cluster.Cluster) {
	l := c.Layout
	fmt.Printf("volume    %s, mounted at %s\n", cluster.Volume, l.Mount())
	fmt.Printf("engine    %s (Bulkhead's mode: %s)\n", c.Choice.Engine, c.Choice.Mode)
	for _, n := range cluster.Servers() {
		fmt.Printf("%-9s %s, process %d, own calls %s, metrics %s\n", n.Name(), n.Addr(), c.Process(n.Name()).PID, n.ProfURL(), n.MetricsURL())
	}
	fmt.Printf("data      %s (a datanode's disk: <node>/disk)\n", l.Run)
	fmt.Printf("logs      %s\n", l.Logs)
	fmt.Printf("commands  HOME=%s %s cluster info\n", l.Run, filepath.Join(l.Programs, "cli"))
}

func stop(p build.Paths) error {
	lock, err := claim(p, "run")
	if err != nil {
		return err
	}
	defer lock.Close()
	c, err := cluster.Open(layout(p))
	if errors.Is(err, fs.ErrNotExist) {
		fmt.Println("no cluster is running")
		return nil
	}
	if err != nil {
		return err
	}
	if err := c.Stop(); err != nil {
		return err
	}
	fmt.Printf("stopped; only the logs are left, in %s\n", c.Layout.Logs)
	return nil
}
