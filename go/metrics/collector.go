// Package metrics exports what an engine counts to Prometheus.
//
//	engine, err := bulkhead.Open(bulkhead.EngineConfig{})
//	...
//	err = metrics.Register(engine)
//
// In a CubeFS datanode that is all: its exporter port serves the default
// registry. docs/operations.md lists the metrics.
package metrics

import (
	"bytes"
	"math"
	"unicode/utf8"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

// kind is how a metric's values are to be read.
type kind int

const (
	counter kind = iota
	gauge
	histogram
)

// row describes one metric.
type row struct {
	name   string
	kind   kind
	labels []string
	help   string
}

// Collector is a prometheus.Collector over one engine. A scrape reads counters
// that are there already: it stops no append and waits for no disk. Once the
// engine is closed it has no samples.
type Collector struct {
	engine *bulkhead.Engine
	descs  []*prometheus.Desc // by row of the table
}

// NewCollector returns a collector that adds labels to all its metrics. Two
// engines of one registry need different ones.
func NewCollector(engine *bulkhead.Engine, labels prometheus.Labels) *Collector {
	c := &Collector{engine: engine}
	for _, r := range table {
		c.descs = append(c.descs, prometheus.NewDesc(r.name, r.help, r.labels, labels))
	}
	return c
}

// Register registers a collector for the engine with the default registry, which
// a CubeFS process serves on its exporter port.
func Register(engine *bulkhead.Engine) error {
	return prometheus.Register(NewCollector(engine, nil))
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, desc := range c.descs {
		ch <- desc
	}
}

// Collect implements prometheus.Collector. One invalid sample would fail the
// whole page and all others on it, so what is not as the table says is left out.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	text, err := c.engine.MetricsText()
	if err != nil {
		return // the engine is closed
	}
	var parser expfmt.TextParser
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return
	}
	for i, r := range table {
		seen := make(map[string]bool)
		for _, m := range families[r.name].GetMetric() {
			values, key, ok := r.labelValues(m)
			if !ok || seen[key] {
				continue
			}
			seen[key] = true
			if metric := r.metric(c.descs[i], m, values); metric != nil {
				ch <- metric
			}
		}
	}
}

// labelValues puts a sample's label values into the order of the row. ok is
// false if it does not have exactly those labels, or a value is not UTF-8.
func (r *row) labelValues(m *dto.Metric) (values []string, key string, ok bool) {
	if len(m.GetLabel()) != len(r.labels) {
		return nil, "", false
	}
	values = make([]string, len(r.labels))
	for i, name := range r.labels {
		found := false
		for _, pair := range m.GetLabel() {
			if pair.GetName() == name {
				values[i], found = pair.GetValue(), utf8.ValidString(pair.GetValue())
			}
		}
		if !found {
			return nil, "", false
		}
		key += values[i] + "\x00"
	}
	return values, key, true
}

// metric is nil for a sample that is not of the row's kind.
func (r *row) metric(desc *prometheus.Desc, m *dto.Metric, values []string) prometheus.Metric {
	var metric prometheus.Metric
	var err error
	switch {
	case r.kind == counter && m.Counter != nil:
		metric, err = prometheus.NewConstMetric(desc, prometheus.CounterValue, m.Counter.GetValue(), values...)
	case r.kind == gauge && m.Gauge != nil:
		metric, err = prometheus.NewConstMetric(desc, prometheus.GaugeValue, m.Gauge.GetValue(), values...)
	case r.kind == histogram && m.Histogram != nil:
		buckets := make(map[float64]uint64)
		for _, b := range m.Histogram.GetBucket() {
			if !math.IsInf(b.GetUpperBound(), 1) {
				buckets[b.GetUpperBound()] = b.GetCumulativeCount()
			}
		}
		metric, err = prometheus.NewConstHistogram(desc, m.Histogram.GetSampleCount(), m.Histogram.GetSampleSum(), buckets, values...)
	}
	if err != nil {
		return nil
	}
	return metric
}
