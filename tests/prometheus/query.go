package prometheus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sort"
	"strings"
	"time"
)

const callLimit = 3 * time.Second

// get asks the HTTP API and fills data.
func (s *Server) get(path string, query url.Values, data interface{}) error {
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+path+"?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer := struct {
		Status, Error string
		Data          interface{}
	}{Data: data}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return fmt.Errorf("%s: HTTP %d: %w", path, response.StatusCode, err)
	}
	if answer.Status != "success" {
		return errors.New(path + ": " + answer.Error)
	}
	return nil
}

// Series returns the labels of what an expression gives now.
func (s *Server) Series(expr string) ([]map[string]string, error) {
	var data struct {
		Result []struct{ Metric map[string]string }
	}
	if err := s.get("/api/v1/query", url.Values{"query": {expr}}, &data); err != nil {
		return nil, err
	}
	var series []map[string]string
	for _, r := range data.Result {
		series = append(series, r.Metric)
	}
	return series, nil
}

// Alert is one that fires.
type Alert struct {
	Name, Severity, Summary string
	Labels                  map[string]string
}

// Line says that it fires, or that it is over.
func (a Alert) Line(fires bool) string {
	if fires {
		return fmt.Sprintf("ALERT FIRES %s (%s): %s", a.Name, a.Severity, a.Summary)
	}
	return fmt.Sprintf("ALERT OVER  %s (%s)", a.Name, a.Summary)
}

// key tells alerts apart.
func (a Alert) key() string {
	var parts []string
	for name, value := range a.Labels {
		parts = append(parts, name+"="+value)
	}
	sort.Strings(parts)
	return strings.Join(parts, "\x00")
}

// Firing returns the alerts that fire now.
func (s *Server) Firing() ([]Alert, error) {
	var data struct {
		Alerts []struct {
			State               string
			Labels, Annotations map[string]string
		}
	}
	if err := s.get("/api/v1/alerts", nil, &data); err != nil {
		return nil, err
	}
	var firing []Alert
	for _, a := range data.Alerts {
		if a.State == "firing" {
			firing = append(firing, Alert{a.Labels["alertname"], a.Labels["severity"], a.Annotations["summary"], a.Labels})
		}
	}
	return firing, nil
}

const watchEvery = 200 * time.Millisecond

// Watch calls on for every alert that begins to fire, and for every one that is
// over, until the context is done. A question that has no answer changes nothing.
func (s *Server) Watch(ctx context.Context, on func(a Alert, fires bool)) {
	known := map[string]Alert{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(watchEvery):
		}
		firing, err := s.Firing()
		if err != nil {
			continue
		}
		now := map[string]Alert{}
		for _, a := range firing {
			now[a.key()] = a
			if _, was := known[a.key()]; !was {
				on(a, true)
			}
		}
		for key, a := range known {
			if _, still := now[key]; !still {
				on(a, false)
			}
		}
		known = now
	}
}
