// Package admin serves the state of an engine, and the actions of its operator,
// as JSON over HTTP. It opens no port: mount it beside the process's own
// endpoints, where only operators reach it; it asks nobody for a password.
//
//	handler := admin.New(engine)
//	defer handler.Close()
//	http.Handle("/bulkhead/", http.StripPrefix("/bulkhead", handler))
//
//	GET  /partitions                what is open; ?state=faulted: what is not ReadWrite
//	GET  /partitions/ID             one of them
//	GET  /events                    the latest events, oldest first
//	POST /partitions/ID/fence       {"state": "ReadOnly", "reason": "..."} or Unavailable
//	POST /partitions/ID/release
//	POST /partitions/ID/recover
//	GET  /disks                     the disks with partitions on them
//	GET  /limits                    what is in force, and what it was set for
//	POST /limits                    {"heal_limit_ms": 500, "probe_ms": "never", "interval_ms": "inherit"}
//	GET, POST /disks/8:17/limits    the same for a disk, by its device number
//	GET, POST /partitions/ID/limits the same for a partition
//
// Every action is an event of the engine.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
)

const (
	eventsKept   = 256
	bodyMaxBytes = 4096
)

// Handler is an http.Handler over one engine.
type Handler struct {
	engine *bulkhead.Engine
	events *bulkhead.Subscription
	done   chan struct{}

	mu     sync.Mutex
	recent []Event // the latest, at most eventsKept
}

// Partition is what is said of a partition.
type Partition struct {
	ID           uint64 `json:"id"`
	Path         string `json:"path"`
	State        string `json:"state"`
	Cause        string `json:"cause"`
	Errno        int    `json:"errno"`
	Operation    string `json:"operation"`
	Fault        string `json:"fault,omitempty"` // in words
	FirstIndex   uint64 `json:"first_index"`
	LastIndex    uint64 `json:"last_index"`
	DurableIndex uint64 `json:"durable_index"`
	Term         uint64 `json:"term"`
	Vote         uint64 `json:"vote"`
	Commit       uint64 `json:"commit"`
	SegmentBytes uint64 `json:"segment_bytes"`
	LostFirst    uint64 `json:"lost_first"` // acknowledged and missing; 0 if none
	LostLast     uint64 `json:"lost_last"`
	Damaged      uint64 `json:"damaged_entries"`
	Errors       uint64 `json:"errors"`
	Heals        uint64 `json:"heals"`
}

// Event is an event of the engine.
type Event struct {
	Sequence    uint64    `json:"sequence"`
	Time        time.Time `json:"time"`
	PartitionID uint64    `json:"partition"`
	From        string    `json:"from"`
	To          string    `json:"to"`
	Cause       string    `json:"cause"`
	Operation   string    `json:"operation"`
	Errno       int       `json:"errno"`
	First       uint64    `json:"first_index"`
	Last        uint64    `json:"last_index"`
	// Limits are those that were set, from what to what.
	Limits []LimitChanged `json:"limits,omitempty"`
}

// failure is the body of an answer that is no success.
type failure struct {
	Error string `json:"error"`
	Code  int    `json:"code,omitempty"` // the library's
}

// New returns a handler that remembers the engine's events from now on.
func New(engine *bulkhead.Engine) *Handler {
	h := &Handler{engine: engine, events: engine.Subscribe(), done: make(chan struct{})}
	go h.listen()
	return h
}

// Close ends the memory of events; what is asked afterwards is still answered.
func (h *Handler) Close() {
	h.events.Close()
	<-h.done
}

func (h *Handler) listen() {
	defer close(h.done)
	for {
		e, err := h.events.Next(context.Background())
		if err != nil {
			return // the handler or the engine is closed
		}
		h.mu.Lock()
		h.recent = append(h.recent, Event{e.Sequence, e.Time, e.PartitionID, e.From.String(), e.To.String(), e.Cause.String(), e.Op.String(),
			int(e.Errno), e.Range.First, e.Range.Last, limitsChanged(e.Limits)})
		if len(h.recent) > eventsKept {
			h.recent = append([]Event(nil), h.recent[len(h.recent)-eventsKept:]...)
		}
		h.mu.Unlock()
	}
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case len(parts) == 1 && parts[0] == "events":
		if allow(w, r, http.MethodGet) {
			h.mu.Lock()
			recent := append([]Event{}, h.recent...)
			h.mu.Unlock()
			answer(w, http.StatusOK, recent)
		}
	case len(parts) == 1 && parts[0] == "partitions":
		if allow(w, r, http.MethodGet) {
			switch state := r.URL.Query().Get("state"); state {
			case "", "faulted":
				answer(w, http.StatusOK, h.list(state == "faulted"))
			default:
				answer(w, http.StatusBadRequest, failure{Error: "state is " + strconv.Quote(state) + "; use faulted, or leave it out for all"})
			}
		}
	case len(parts) == 2 && parts[0] == "partitions":
		if p := h.find(w, parts[1]); p != nil && allow(w, r, http.MethodGet) {
			h.describe(w, p)
		}
	case len(parts) == 1 && parts[0] == "disks":
		if allow(w, r, http.MethodGet) {
			h.disks(w)
		}
	case len(parts) == 1 && parts[0] == "limits":
		limits(w, r, h.engine.Limits, h.engine.SetLimits)
	case len(parts) == 3 && parts[0] == "disks" && parts[2] == "limits":
		h.diskLimits(w, r, parts[1])
	case len(parts) == 3 && parts[0] == "partitions" && parts[2] == "limits":
		if p := h.find(w, parts[1]); p != nil {
			limits(w, r, p.Limits, p.SetLimits)
		}
	case len(parts) == 3 && parts[0] == "partitions":
		if p := h.find(w, parts[1]); p != nil && allow(w, r, http.MethodPost) {
			h.act(w, r, p, parts[2])
		}
	default:
		answer(w, http.StatusNotFound, failure{Error: "no such path; there are /partitions, /partitions/ID, /disks, /limits, /disks/DEVICE/limits, /partitions/ID/limits and /events"})
	}
}

func (h *Handler) list(faulted bool) []Partition {
	out := []Partition{}
	for _, p := range h.engine.Partitions() {
		status, err := p.Status()
		if err != nil || faulted && status.State == bulkhead.StateReadWrite {
			continue // closed meanwhile, or healthy
		}
		out = append(out, describe(p, status))
	}
	sort.Slice(out, func(i, j int) bool { return out[i].ID < out[j].ID })
	return out
}

func (h *Handler) find(w http.ResponseWriter, text string) *bulkhead.Partition {
	id, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		answer(w, http.StatusBadRequest, failure{Error: "a partition id is a number, not " + strconv.Quote(text)})
		return nil
	}
	for _, p := range h.engine.Partitions() {
		if p.ID() == id {
			return p
		}
	}
	answer(w, http.StatusNotFound, failure{Error: "partition " + text + " is not open in this engine"})
	return nil
}

func (h *Handler) describe(w http.ResponseWriter, p *bulkhead.Partition) {
	status, err := p.Status()
	if err != nil {
		fail(w, err)
		return
	}
	answer(w, http.StatusOK, describe(p, status))
}

func describe(p *bulkhead.Partition, s bulkhead.Status) Partition {
	out := Partition{
		ID: p.ID(), Path: p.Path(), State: s.State.String(), Cause: s.Cause.String(), Errno: int(s.Errno), Operation: s.Op.String(),
		FirstIndex: s.FirstIndex, LastIndex: s.LastIndex, DurableIndex: s.DurableIndex,
		Term: s.HardState.Term, Vote: s.HardState.Vote, Commit: s.HardState.Commit, SegmentBytes: s.SegmentBytes,
		LostFirst: s.Lost.First, LostLast: s.Lost.Last, Damaged: s.DamagedEntries, Errors: s.Errors, Heals: s.Heals,
	}
	if fault := p.LastFault(); fault != nil {
		out.Fault = fault.Error()
	}
	return out
}

// act does what changes something; it came by POST.
func (h *Handler) act(w http.ResponseWriter, r *http.Request, p *bulkhead.Partition, action string) {
	var err error
	switch action {
	case "fence":
		var order struct{ State, Reason string }
		if err := readBody(w, r, &order); err != nil {
			answer(w, http.StatusBadRequest, failure{Error: `the body is {"state": "ReadOnly" or "Unavailable", "reason": "..."}: ` + err.Error()})
			return
		}
		var state bulkhead.State
		switch order.State {
		case bulkhead.StateReadOnly.String():
			state = bulkhead.StateReadOnly
		case bulkhead.StateUnavailable.String():
			state = bulkhead.StateUnavailable
		default:
			answer(w, http.StatusBadRequest, failure{Error: "state is " + strconv.Quote(order.State) + "; use ReadOnly or Unavailable"})
			return
		}
		err = p.Fence(state, order.Reason)
	case "release":
		err = p.Release()
	case "recover":
		err = p.Recover()
	default:
		answer(w, http.StatusNotFound, failure{Error: "no such action; there are fence, release, recover and limits"})
		return
	}
	if err != nil {
		fail(w, err)
		return
	}
	h.describe(w, p)
}

// readBody reads one JSON object, and nothing behind it.
func readBody(w http.ResponseWriter, r *http.Request, into interface{}) error {
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, bodyMaxBytes))
	decoder.DisallowUnknownFields()
	decoder.UseNumber()
	if err := decoder.Decode(into); err != nil {
		return err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return errors.New("there is something behind the object")
	}
	return nil
}

// allow answers for a method that is not one of these: nothing is changed by a GET.
func allow(w http.ResponseWriter, r *http.Request, methods ...string) bool {
	for _, method := range methods {
		if r.Method == method {
			return true
		}
	}
	w.Header().Set("Allow", strings.Join(methods, ", "))
	answer(w, http.StatusMethodNotAllowed, failure{Error: "use " + strings.Join(methods, " or ")})
	return false
}

func fail(w http.ResponseWriter, err error) {
	status, body := http.StatusConflict, failure{Error: err.Error()}
	var e *bulkhead.Error
	if errors.As(err, &e) {
		body.Code = int(e.Code)
		switch e.Code {
		case bulkhead.ErrClosed:
			status = http.StatusNotFound
		case bulkhead.ErrInvalidConfig, bulkhead.ErrInvalidArgument:
			status = http.StatusBadRequest
		}
	}
	answer(w, status, body)
}

func answer(w http.ResponseWriter, status int, body interface{}) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // nobody is there to read it
}
