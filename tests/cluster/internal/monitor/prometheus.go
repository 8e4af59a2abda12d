// Package monitor lets Prometheus, and Grafana where there is one, look on at a cluster, with the project's rules and dashboard.
package monitor

import (
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/bulkhead-wal/bulkhead/tests/cluster/internal/cluster"
	"github.com/bulkhead-wal/bulkhead/tests/prometheus"
)

const (
	// Addresses of those that stay with the cluster.
	prometheusAddr = "127.0.0.1:17490"
	grafanaAddr    = "127.0.0.1:17491"
	scrapeEvery    = 5 * time.Second
	startLimit     = 60 * time.Second
	pollEvery      = 100 * time.Millisecond
)

// Targets are the pages of metrics of all servers.
func Targets() (targets []prometheus.Target) {
	for _, n := range cluster.Servers() {
		targets = append(targets, prometheus.Target{Job: n.Role, Instance: n.Name(), Address: n.MetricsAddr()})
	}
	return targets
}

// Prometheus starts one that is stopped with the cluster, and returns its address. rules is the directory of the project's.
func Prometheus(c *cluster.Cluster, rules string) (address string, err error) {
	program, err := exec.LookPath("prometheus")
	if err != nil {
		return "", err
	}
	args, listen, err := prometheus.Prepare(prometheus.Options{
		Dir: filepath.Join(c.Layout.Run, "prometheus"), Rules: rules, Every: scrapeEvery, Listen: prometheusAddr, Targets: Targets(),
	})
	if err != nil {
		return "", err
	}
	return start(c, "prometheus", nil, listen, "/-/ready", program, args...)
}

// start starts a server and waits until it answers.
func start(c *cluster.Cluster, name string, env []string, listen, path, program string, args ...string) (address string, err error) {
	address = "http://" + listen
	if err := c.Attach(name, env, program, args...); err != nil {
		return "", err
	}
	for deadline := time.Now().Add(startLimit); ; time.Sleep(pollEvery) {
		if r, err := http.Get(address + path); err == nil {
			_ = r.Body.Close()
			if r.StatusCode == http.StatusOK && c.Process(name).Alive() {
				return address, nil
			}
		}
		if !c.Process(name).Alive() || time.Now().After(deadline) {
			return "", fmt.Errorf("%s does not answer at %s; see %s", name, address, filepath.Join(c.Layout.Logs, name+".log"))
		}
	}
}
