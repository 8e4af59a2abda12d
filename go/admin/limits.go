package admin

import (
	"encoding/json"
	"net/http"
	"sort"
	"strconv"
	"strings"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
)

// Limit is a limit that is in force.
type Limit struct {
	Name  string `json:"name"`
	Value uint64 `json:"value"` // in the unit of its name; 0 for one that is switched off
	Min   uint64 `json:"min"`
	Max   uint64 `json:"max"`
	From  string `json:"from"` // open, engine, disk or partition
}

// Disk is a device with partitions on it.
type Disk struct {
	Device     string `json:"device"` // as ls and lsblk show it, 8:17
	Mount      string `json:"mount"`
	Partitions int    `json:"partitions"` // open ones
}

func (h *Handler) disks(w http.ResponseWriter) {
	disks, err := h.engine.Disks()
	if err != nil {
		fail(w, err)
		return
	}
	out := []Disk{}
	for _, d := range disks {
		out = append(out, Disk{deviceText(d.Device), d.Mount, d.Partitions})
	}
	answer(w, http.StatusOK, out)
}

// diskLimits is for a disk that there is: a number that is mistyped is not to set
// limits of a disk that nobody has.
func (h *Handler) diskLimits(w http.ResponseWriter, r *http.Request, device string) {
	disks, err := h.engine.Disks()
	if err != nil {
		fail(w, err)
		return
	}
	for _, d := range disks {
		if deviceText(d.Device) == device {
			limits(w, r,
				func() ([]bulkhead.LimitInForce, error) { return h.engine.DiskLimits(d.Device) },
				func(c ...bulkhead.LimitChange) error { return h.engine.SetDiskLimits(d.Device, c...) })
			return
		}
	}
	answer(w, http.StatusNotFound, failure{Error: "no partition has been opened on a disk " + strconv.Quote(device) + "; /disks has those with one, 8:17 or the like"})
}

// deviceText is how the system's tools and the metrics write a device number.
func deviceText(device uint64) string {
	major := (device>>8)&0xfff | (device>>32)&^0xfff
	minor := device&0xff | (device>>12)&^0xff
	return strconv.FormatUint(major, 10) + ":" + strconv.FormatUint(minor&0xffffffff, 10)
}

func limits(w http.ResponseWriter, r *http.Request, get func() ([]bulkhead.LimitInForce, error), set func(...bulkhead.LimitChange) error) {
	if !allow(w, r, http.MethodGet, http.MethodPost) {
		return
	}
	if r.Method == http.MethodPost {
		changes, message := readChanges(w, r)
		if message != "" {
			answer(w, http.StatusBadRequest, failure{Error: message})
			return
		}
		if err := set(changes...); err != nil {
			fail(w, err)
			return
		}
	}
	inForce, err := get()
	if err != nil {
		fail(w, err)
		return
	}
	out := []Limit{}
	for _, l := range inForce {
		out = append(out, Limit{l.Limit.String(), limitValue(l.Limit, l.Value), l.Low, l.High, l.SetFor.String()})
	}
	answer(w, http.StatusOK, out)
}

// LimitChanged is what an event changed.
type LimitChanged struct {
	Limit  string `json:"limit"`
	For    string `json:"for"`              // engine, disk or partition
	Device string `json:"device,omitempty"` // of a disk
	Before uint64 `json:"before"`           // 0 is never, where that may be
	After  uint64 `json:"after"`
	From   string `json:"from"` // what the value after was set for
}

func limitsChanged(changed []bulkhead.LimitChanged) []LimitChanged {
	var out []LimitChanged
	for _, l := range changed {
		one := LimitChanged{Limit: l.Limit.String(), For: l.ChangedFor.String(), Before: limitValue(l.Limit, l.Before),
			After: limitValue(l.Limit, l.After), From: l.SetFor.String()}
		if l.ChangedFor == bulkhead.ScopeDisk {
			one.Device = deviceText(l.Device)
		}
		out = append(out, one)
	}
	return out
}

// limitValue writes never as 0, which no limit is that may be never.
func limitValue(limit bulkhead.Limit, value uint64) uint64 {
	if value == bulkhead.LimitNever && neverMayBe(limit) {
		return 0
	}
	return value
}

func neverMayBe(limit bulkhead.Limit) bool {
	switch limit {
	case bulkhead.LimitSlowDiskMs, bulkhead.LimitHealLimitMs, bulkhead.LimitSpaceWaitMs, bulkhead.LimitProbeMs,
		bulkhead.LimitIdleCheckMs:
		return true
	}
	return false
}

const changesBody = `the body is {"heal_limit_ms": 500, "probe_ms": "never", "interval_ms": "inherit"} or the like: `

// readChanges returns what is wrong with the body, or its changes, by name.
func readChanges(w http.ResponseWriter, r *http.Request) ([]bulkhead.LimitChange, string) {
	var body map[string]interface{}
	if err := readBody(w, r, &body); err != nil {
		return nil, changesBody + err.Error()
	}
	names := make([]string, 0, len(body))
	for name := range body {
		names = append(names, name)
	}
	sort.Strings(names)
	var changes []bulkhead.LimitChange
	for _, name := range names {
		limit := bulkhead.LimitByName(name)
		if limit == 0 {
			return nil, "no limit has the name " + strconv.Quote(name) + "; a GET of the same path lists them"
		}
		value, message := readValue(limit, body[name])
		if message != "" {
			return nil, message
		}
		changes = append(changes, bulkhead.LimitChange{Limit: limit, Value: value})
	}
	return changes, ""
}

func readValue(limit bulkhead.Limit, given interface{}) (value uint64, message string) {
	wanted := "a whole number or \"inherit\""
	if neverMayBe(limit) {
		wanted = "a whole number, \"never\" or \"inherit\""
	}
	switch given := given.(type) {
	case json.Number:
		if n, err := strconv.ParseUint(given.String(), 10, 63); err == nil {
			if n == 0 && neverMayBe(limit) {
				return bulkhead.LimitNever, ""
			}
			return n, ""
		}
	case string:
		switch {
		case strings.EqualFold(given, "inherit"):
			return bulkhead.LimitInherit, ""
		case strings.EqualFold(given, "never") && neverMayBe(limit):
			return bulkhead.LimitNever, ""
		}
	}
	text, _ := json.Marshal(given)
	return 0, limit.String() + " is " + string(text) + "; give " + wanted
}
