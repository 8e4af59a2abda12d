package datanode

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/bulkhead-wal/bulkhead/go/cubefs/supervisor"
)

// scrape reads the page that CubeFS's exporter serves, as a Prometheus does.
func scrape(t *testing.T) string {
	t.Helper()
	client := http.Client{Timeout: limit}
	response, err := client.Get(node.metrics)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	page, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v %v: %s", node.metrics, response.Status, err, page)
	}
	return string(page)
}

// sum adds up a metric's series that have all of these labels, and counts them:
// each disk has its own.
func sum(t *testing.T, page, name string, labels ...string) (total float64, series int) {
	t.Helper()
	for _, found := range regexp.MustCompile(`(?m)^`+name+`\{(.*)\} (\S+)$`).FindAllStringSubmatch(page, -1) {
		has := true
		for _, label := range labels {
			has = has && strings.Contains(found[1], label)
		}
		value, err := strconv.ParseFloat(found[2], 64)
		if err != nil {
			t.Fatal(err)
		}
		if has {
			total, series = total+value, series+1
		}
	}
	return total, series
}

// TestMetricsOnTheExporterPort: the import of package exporter puts what Bulkhead
// counts on the page that the datanode serves already, beside CubeFS's own
// metrics; a partition whose log fails shows there by its number, until it is
// back.
func TestMetricsOnTheExporterPort(t *testing.T) {
	p := newPartition(t)
	before, _ := sum(t, scrape(t), "bulkhead_appends_total", `mode="sync"`)
	p.write(20)
	page := scrape(t)
	if after, _ := sum(t, page, "bulkhead_appends_total", `mode="sync"`); after < before+20 {
		t.Errorf("20 commands took bulkhead_appends_total from %v to %v", before, after)
	}
	if !regexp.MustCompile(`(?m)^cfs_dataNode_`).MatchString(page) {
		t.Error("CubeFS's own metrics are not there")
	}
	const fault = "bulkhead_partition_fault_timestamp_seconds"
	own := fmt.Sprintf(`partition="%d"`, p.id)
	if _, series := sum(t, page, fault, own); series != 0 {
		t.Error("a healthy partition has a series of its own")
	}
	if err := p.fs.Shutdown(); err != nil {
		t.Fatal(err)
	}
	p.fail()
	eventually(t, "the fault is on the page", func() bool {
		_, series := sum(t, scrape(t), fault, own, `cause="io_error"`)
		return series == 1
	})
	p.told(supervisor.Stopped)
	p.replaceDisk()
	p.told(supervisor.Returned)
	eventually(t, "the fault is off the page", func() bool {
		_, series := sum(t, scrape(t), fault, own)
		return series == 0
	})
}
