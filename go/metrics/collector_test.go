package metrics

import (
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
	"github.com/bulkhead-wal/bulkhead/go/internal/baddisk"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
)

func open(t *testing.T, config bulkhead.EngineConfig) (*bulkhead.Engine, *prometheus.Registry) {
	t.Helper()
	engine, err := bulkhead.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close() }) // some tests close it themselves
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(NewCollector(engine, nil))
	return engine, registry
}

func openPartition(t *testing.T, engine *bulkhead.Engine, id uint64, mode bulkhead.Mode) *bulkhead.Partition {
	t.Helper()
	p, err := engine.OpenPartition(bulkhead.PartitionConfig{Path: filepath.Join(t.TempDir(), "wal"), ID: id, Mode: mode})
	if err != nil {
		t.Fatal(err)
	}
	// Before its directory is removed: an open one gets new files.
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func appendTo(p *bulkhead.Partition) error {
	_, last, err := p.Bounds()
	if err != nil {
		return err
	}
	return p.Append([]bulkhead.Entry{{Index: last + 1, Term: 1, Data: []byte("some payload")}})
}

// gather demands a page that Prometheus takes.
func gather(t *testing.T, registry *prometheus.Registry) map[string]*dto.MetricFamily {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatalf("the page is down: %v", err)
	}
	out := make(map[string]*dto.MetricFamily)
	for _, f := range families {
		out[f.GetName()] = f
	}
	return out
}

// sample returns the sample that has this label value among its own.
func sample(t *testing.T, families map[string]*dto.MetricFamily, name, label string) *dto.Metric {
	t.Helper()
	for _, m := range families[name].GetMetric() {
		for _, pair := range m.GetLabel() {
			if pair.GetValue() == label {
				return m
			}
		}
	}
	t.Fatalf("no %s with %s: %v", name, label, families[name])
	return nil
}

func TestCollectorHasTheWholeTable(t *testing.T) {
	engine, registry := open(t, bulkhead.EngineConfig{})
	p := openPartition(t, engine, 7, bulkhead.ModeSync)
	for i := 0; i < 3; i++ {
		if err := appendTo(p); err != nil {
			t.Fatal(err)
		}
	}
	families := gather(t, registry)
	for _, r := range table {
		switch r.name {
		case "bulkhead_errors_total", "bulkhead_partition_fault_timestamp_seconds":
			continue // there has been no fault
		}
		if families[r.name] == nil || families[r.name].GetHelp() != r.help {
			t.Errorf("%s: %v", r.name, families[r.name])
		}
	}
	if n := sample(t, families, "bulkhead_appends_total", "sync").Counter.GetValue(); n != 3 {
		t.Errorf("%v appends", n)
	}
	h := sample(t, families, "bulkhead_append_seconds", "sync").Histogram
	if h.GetSampleCount() != 3 || h.GetSampleSum() <= 0 || h.GetSampleSum() > 60 || len(h.GetBucket()) < 20 {
		t.Errorf("append times: %v", h)
	}
}

// The collector and the text that C programs serve say the same.
func TestPageIsTheTextOfTheLibrary(t *testing.T) {
	engine, registry := open(t, bulkhead.EngineConfig{})
	p := openPartition(t, engine, 7, bulkhead.ModeNone)
	if err := appendTo(p); err != nil {
		t.Fatal(err)
	}
	recorder := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(recorder, httptest.NewRequest("GET", "/metrics", nil))
	if recorder.Code != 200 {
		t.Fatalf("%d: %s", recorder.Code, recorder.Body)
	}
	text, err := engine.MetricsText()
	if err != nil {
		t.Fatal(err)
	}
	page := make(map[string]bool)
	for _, line := range strings.Split(recorder.Body.String(), "\n") {
		page[strings.SplitN(line, "{", 2)[0]] = true
	}
	for _, line := range strings.Split(string(text), "\n") {
		if name := strings.SplitN(line, "{", 2)[0]; !strings.HasPrefix(line, "#") && strings.Contains(line, "{") && !page[name] {
			t.Errorf("%s is in the text and not on the page", name)
		}
	}
}

func TestFaultedPartitionHasASeries(t *testing.T) {
	never := bulkhead.EngineConfig{HealLimit: bulkhead.Never, IdleCheck: bulkhead.Never, Probe: bulkhead.Never}
	engine, registry := open(t, never)
	healthy, bad := openPartition(t, engine, 7, bulkhead.ModeNone), openPartition(t, engine, 8, bulkhead.ModeNone)
	for _, p := range []*bulkhead.Partition{healthy, bad} {
		if err := appendTo(p); err != nil {
			t.Fatal(err)
		}
	}
	fault, err := baddisk.Break(bad.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer fault.End()
	if err := appendTo(bad); err == nil {
		t.Fatal("the disk is broken")
	}
	families := gather(t, registry)
	m := sample(t, families, "bulkhead_partition_fault_timestamp_seconds", "8")
	if age := float64(time.Now().Unix()) - m.Gauge.GetValue(); age < -5 || age > 600 {
		t.Errorf("the fault is %v s old", age)
	}
	if n := len(families["bulkhead_partition_fault_timestamp_seconds"].Metric); n != 1 {
		t.Errorf("%d series of single partitions", n)
	}
	if n := sample(t, families, "bulkhead_errors_total", "EIO").Counter.GetValue(); n < 1 {
		t.Errorf("%v errors", n)
	}
	_ = engine.Close() // the faulted one says so
}

// Partitions come, fail and go while scrapes run: no page may fail.
func TestScrapesDuringEverything(t *testing.T) {
	engine, registry := open(t, bulkhead.EngineConfig{})
	stop := make(chan struct{})
	var wait sync.WaitGroup
	for i := uint64(1); i <= 4; i++ {
		wait.Add(1)
		go func(id uint64) {
			defer wait.Done()
			path := filepath.Join(t.TempDir(), "wal")
			for {
				select {
				case <-stop:
					return
				default:
				}
				p, err := engine.OpenPartition(bulkhead.PartitionConfig{Path: path, ID: id, Mode: bulkhead.ModeNone})
				if err != nil {
					return // the engine is closed
				}
				_ = appendTo(p) // may meet the close
				_ = p.Close()
			}
		}(i)
	}
	before := 0.0
	for end := time.Now().Add(time.Second); time.Now().Before(end); {
		families := gather(t, registry)
		appends := 0.0
		for _, m := range families["bulkhead_appends_total"].GetMetric() {
			appends += m.Counter.GetValue()
		}
		if appends < before {
			t.Fatalf("appends went from %v to %v", before, appends)
		}
		before = appends
	}
	close(stop)
	wait.Wait()
	if err := engine.Close(); err != nil {
		t.Fatal(err)
	}
	if families := gather(t, registry); len(families) != 0 {
		t.Errorf("a closed engine still says %v", families)
	}
}

// A sample that Prometheus would refuse fails the whole page of the process.
func TestInvalidSamplesAreLeftOut(t *testing.T) {
	r := row{"bulkhead_x", gauge, []string{"disk"}, "X."}
	desc := prometheus.NewDesc(r.name, r.help, r.labels, nil)
	name, good, bad, one := "disk", "/data", "/data\xff", 1.0
	sampleOf := func(pairs ...*dto.LabelPair) *dto.Metric {
		return &dto.Metric{Label: pairs, Gauge: &dto.Gauge{Value: &one}}
	}
	if _, _, ok := r.labelValues(sampleOf(&dto.LabelPair{Name: &name, Value: &bad})); ok {
		t.Error("not UTF-8, and taken")
	}
	if _, _, ok := r.labelValues(sampleOf()); ok {
		t.Error("a label is missing, and it is taken")
	}
	values, _, ok := r.labelValues(sampleOf(&dto.LabelPair{Name: &name, Value: &good}))
	if !ok || r.metric(desc, sampleOf(), values) == nil {
		t.Error("a good one is left out")
	}
	if r.metric(desc, &dto.Metric{Counter: &dto.Counter{Value: &one}}, values) != nil {
		t.Error("a counter as a gauge")
	}
}
