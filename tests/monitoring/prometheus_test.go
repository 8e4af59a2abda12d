package monitoring

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-wal/bulkhead/tests/prometheus"
)

const scrapeEvery = 500 * time.Millisecond

// server is a real Prometheus that scrapes one target.
type server struct {
	t    *testing.T
	base string
}

func startPrometheus(t *testing.T, target string) *server {
	t.Helper()
	s, err := prometheus.Start(context.Background(), prometheus.Options{Dir: filepath.Join(t.TempDir(), "prometheus"), Rules: "../../monitoring",
		Quick: true, Every: scrapeEvery, Targets: []prometheus.Target{{Job: "datanode", Instance: "plant", Address: target}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return &server{t: t, base: s.URL}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// series is one line of a result.
type series struct {
	labels map[string]string
	points [][2]float64 // time, value; finite ones only
}

var variable = regexp.MustCompile(`\$(job|instance|disk)\b`)

// query asks for the values of an expression over a time, with Grafana's
// variables filled in.
func (s *server) query(expr string, from, to time.Time) []series {
	s.t.Helper()
	expr = variable.ReplaceAllString(strings.ReplaceAll(expr, "$__rate_interval", "5s"), ".*")
	values := url.Values{"query": {expr}, "start": {stamp(from)}, "end": {stamp(to)}, "step": {"0.5"}}
	response, err := http.PostForm(s.base+"/api/v1/query_range", values)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct {
		Status, Error string
		Data          struct {
			Result []struct {
				Metric map[string]string
				Values [][2]interface{}
			}
		}
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		s.t.Fatal(err)
	}
	if answer.Status != "success" {
		s.t.Fatalf("%s: %s", expr, answer.Error)
	}
	var out []series
	for _, r := range answer.Data.Result {
		line := series{labels: r.Metric}
		for _, v := range r.Values {
			at, _ := v[0].(float64)
			text, _ := v[1].(string)
			if n, err := strconv.ParseFloat(text, 64); err == nil && !math.IsNaN(n) && !math.IsInf(n, 0) {
				line.points = append(line.points, [2]float64{at, n})
			}
		}
		if len(line.points) > 0 {
			out = append(out, line)
		}
	}
	return out
}

func stamp(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1e3, 'f', 3, 64) }

// firing tells whether an alert fires now.
func (s *server) firing(alert string, labels string) bool {
	now := time.Now()
	return len(s.query(fmt.Sprintf(`ALERTS{alertname=%q, alertstate="firing"%s}`, alert, labels), now, now)) > 0
}

// await waits until an alert fires, or does not fire any more.
func (s *server) await(alert, labels string, fires bool) {
	s.t.Helper()
	began := time.Now()
	for time.Since(began) < 30*time.Second {
		if s.firing(alert, labels) == fires {
			s.t.Logf("%s%s: firing %v after %v", alert, labels, fires, time.Since(began).Round(100*time.Millisecond))
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
	s.t.Errorf("%s%s: firing is not %v after 30 s", alert, labels, fires)
}
