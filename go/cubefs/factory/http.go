package factory

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/bulkhead-wal/bulkhead/go/cubefs/shadow"
	"github.com/bulkhead-wal/bulkhead/go/cubefs/supervisor"
)

// A CubeFS server serves http.DefaultServeMux on its port for profiling: its own
// calls for operators are there, too.
func init() {
	http.HandleFunc("/bulkhead/policy", servePolicy)
	http.HandleFunc("/bulkhead/groups", serveGroups)
	http.HandleFunc("/bulkhead/bringBack", serveBringBack)
	http.HandleFunc("/bulkhead/clearShadow", serveClearShadow)
}

// policyBytes is more than any policy takes.
const policyBytes = 1 << 20

// servePolicy shows the policy in force, and replaces it by the body of a POST.
func servePolicy(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		text, err := io.ReadAll(io.LimitReader(r.Body, policyBytes))
		var p Policy
		if err == nil {
			p, err = ParsePolicy(text)
		}
		if err == nil {
			err = SetPolicy(p)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	p, err := CurrentPolicy()
	answer := struct {
		Policy Policy `json:"policy"`
		Error  string `json:"error,omitempty"` // why a newer one is not in force
	}{Policy: p}
	if err != nil {
		answer.Error = err.Error()
	}
	reply(w, answer)
}

// serveGroups shows all groups that Bulkhead keeps or follows.
func serveGroups(w http.ResponseWriter, _ *http.Request) {
	reports, counters := shadow.Reports()
	reply(w, struct {
		Groups       []supervisor.Report `json:"groups"`
		Totals       supervisor.Totals   `json:"totals"`
		Shadows      []shadow.Report     `json:"shadows"`
		ShadowTotals shadow.Counters     `json:"shadow_totals"`
	}{Supervisor.Report(), Supervisor.Totals(), reports, counters})
}

// serveBringBack tries now to bring back a group that is down.
func serveBringBack(w http.ResponseWriter, r *http.Request) {
	act(w, r, Supervisor.BringBack)
}

// serveClearShadow forgets why a group's shadow was not clean.
func serveClearShadow(w http.ResponseWriter, r *http.Request) {
	act(w, r, func(id uint64) error {
		root := knownShadowRoot(id)
		if root == "" {
			return errors.New("no shadow of this group is known to this process")
		}
		return shadow.Clear(root, id)
	})
}

func act(w http.ResponseWriter, r *http.Request, do func(id uint64) error) {
	if r.Method != http.MethodPost {
		http.Error(w, "this changes something: use POST", http.StatusMethodNotAllowed)
		return
	}
	id, err := strconv.ParseUint(r.FormValue("id"), 10, 64)
	if err != nil {
		http.Error(w, fmt.Sprintf("id=%q is no group", r.FormValue("id")), http.StatusBadRequest)
		return
	}
	if err := do(id); err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	reply(w, struct {
		ID uint64 `json:"id"`
	}{id})
}

func reply(w http.ResponseWriter, answer interface{}) {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(answer) // whoever asked has gone
}
