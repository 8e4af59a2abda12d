package driver

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/bulkhead-wal/bulkhead/tests/prometheus"
)

const (
	scrapeEvery = 500 * time.Millisecond
	// theAlert is the one of a partition that takes no writes.
	theAlert = "BulkheadPartitionUnavailable"
)

// watchFor starts a Prometheus that scrapes the nodes, and shows the alerts that fire
// and end. It is taken down with the arm.
func (a *arm) watchFor(ctx context.Context) error {
	if len(a.cluster.pages) == 0 {
		return nil
	}
	o := prometheus.Options{Dir: filepath.Join(a.dir, "prometheus"), Rules: a.o.Rules, Quick: true, Every: scrapeEvery}
	for id := uint64(1); id <= nodes; id++ {
		o.Targets = append(o.Targets, prometheus.Target{Job: "demo", Instance: fmt.Sprintf("node %d", id), Address: a.cluster.pages[id]})
	}
	server, err := prometheus.Start(ctx, o)
	if err != nil {
		return err
	}
	a.prometheus = server
	a.result.Watched = true
	a.say("Prometheus scrapes the three nodes every %v, with the rules of monitoring/", scrapeEvery)
	a.say("(shortened for the demo: %s)", prometheus.Quick)
	watching, end := context.WithCancel(ctx)
	done := make(chan struct{})
	a.endWatch = func() {
		end()
		<-done
	}
	go func() {
		defer close(done)
		server.Watch(watching, a.onAlert)
	}()
	return nil
}

// onAlert shows a change. Paths are long and all begin alike.
func (a *arm) onAlert(alert prometheus.Alert, fires bool) {
	a.say("%s", strings.ReplaceAll(alert.Line(fires), a.dir+"/", ""))
	if alert.Name != theAlert {
		return
	}
	a.alertMu.Lock()
	if fires && a.firedAt.IsZero() {
		a.firedAt = time.Now()
	} else if !fires {
		a.overAt = time.Now()
	}
	a.alertMu.Unlock()
	if fires {
		a.whichOne(alert.Labels["instance"])
	}
}

// whichOne asks as the runbook says: which partition it is, and why.
func (a *arm) whichOne(instance string) {
	metric := "bulkhead_partition_fault_timestamp_seconds"
	series, err := a.prometheus.Series(fmt.Sprintf("%s{instance=%q}", metric, instance))
	if err != nil {
		return // it was taken down
	}
	for _, s := range series {
		a.say("the operator asks %s: partition %s, %s, %s in %s", metric, s["partition"], s["cause"], s["errno"], s["operation"])
	}
}

// judgeAlert notes when the alert fired and when it was over.
func (a *arm) judgeAlert() {
	a.alertMu.Lock()
	defer a.alertMu.Unlock()
	a.result.AlertAfter, a.result.OverAfter = -1, -1
	if !a.firedAt.IsZero() {
		a.result.AlertAfter = a.firedAt.Sub(a.brokenAt)
	}
	if !a.overAt.IsZero() {
		a.result.OverAfter = a.overAt.Sub(a.backAt)
	}
}
