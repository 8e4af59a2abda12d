package demo

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/bulkhead-wal/bulkhead/tests/cluster/internal/monitor"
	"github.com/bulkhead-wal/bulkhead/tests/prometheus"
)

const (
	scrapeEvery = time.Second
	// alertLimit is how long it is waited for the alert to be over, when all is sound again.
	alertLimit = 15 * time.Second
)

// alert is what a scenario must raise.
type alert struct {
	name  string
	stays bool // for 15 minutes; the others must be over when the partition is recovered
}

var alerts = map[string]alert{
	"follower-dies": {name: "BulkheadPartitionUnavailable"},
	"leader-dies":   {name: "BulkheadPartitionUnavailable"},
	"two-die":       {name: "BulkheadPartitionUnavailable"},
	"bad-block":     {name: "BulkheadDiskErrors", stays: true},
	"full":          {name: "BulkheadNoSpace"},
}

// lookOn has a Prometheus scrape all servers, and shows the alerts that fire and end. It ends with the namespaces.
func (r *run) lookOn() error {
	o := prometheus.Options{Dir: filepath.Join(r.c.Layout.Run, "prometheus"), Rules: r.places.Rules, Quick: true, Every: scrapeEvery, Targets: monitor.Targets()}
	server, err := prometheus.Start(context.Background(), o)
	if err != nil {
		return err
	}
	r.say(fmt.Sprintf("Prometheus scrapes all servers every %v, with the rules of monitoring/ (shortened: %s)", scrapeEvery, prometheus.Quick))
	watching, end := context.WithCancel(context.Background())
	go server.Watch(watching, r.onAlert)
	r.lookAway = func() {
		end()
		server.Stop()
	}
	return nil
}

// onAlert shows a change. Paths are long and all begin alike.
func (r *run) onAlert(a prometheus.Alert, fires bool) {
	r.say(strings.ReplaceAll(a.Line(fires), r.c.Layout.Run+"/", ""))
	r.alertMu.Lock()
	defer r.alertMu.Unlock()
	switch {
	case a.Name != alerts[r.result.Scenario].name:
	case fires:
		r.firing++
		if r.fired.IsZero() && !r.fault.IsZero() {
			r.fired = time.Now()
		}
	default:
		r.firing--
		r.over = time.Now()
	}
}

// strikes starts the clocks for a fault of some replicas.
func (r *run) strikes(victims ...int) {
	r.w.arm(victims...)
	r.alertMu.Lock()
	r.fault = time.Now()
	r.alertMu.Unlock()
}

// alertEnds waits until the scenario's alert is over, and notes when it fired and when that was.
func (r *run) alertEnds(mended time.Time) {
	wanted := alerts[r.result.Scenario]
	if wanted.name == "" {
		return
	}
	over := func() bool {
		r.alertMu.Lock()
		defer r.alertMu.Unlock()
		return r.firing == 0 || wanted.stays
	}
	for deadline := time.Now().Add(alertLimit); !over() && time.Now().Before(deadline); {
		time.Sleep(pollEvery)
	}
	r.alertMu.Lock()
	defer r.alertMu.Unlock()
	if r.fired.IsZero() {
		r.say(wanted.name + " never fired")
		return
	}
	r.result.AlertS = r.fired.Sub(r.fault).Seconds()
	text := "and is not over"
	if r.firing == 0 {
		r.result.AlertOverS = r.over.Sub(mended).Seconds()
		text = fmt.Sprintf("and was over %.1f s after the fault's end", r.result.AlertOverS)
	} else if wanted.stays {
		text = "and stays for 15 minutes"
	}
	r.say(fmt.Sprintf("%s fired %.1f s after the fault, %s", wanted.name, r.result.AlertS, text))
}
