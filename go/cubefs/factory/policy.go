package factory

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
)

// PolicyVariable names the environment variable that holds the policy: JSON, or
// the path of a file with it. A file is read again when it has changed.
const PolicyVariable = "BULKHEAD_CUBEFS_POLICY"

// Policy says which groups keep their log in Bulkhead. The zero value: none but
// those whose directory is Bulkhead's already.
type Policy struct {
	// Enabled is the one switch: without it no group begins to use Bulkhead, in
	// earnest or as a shadow, whatever the rest says. Logs that are Bulkhead's stay
	// it.
	Enabled bool `json:"enabled"`
	// Share is of the groups that use Bulkhead.
	Share
	// Import converts the log of a selected group from CubeFS's WAL when it is
	// opened. Without it only empty directories become Bulkhead's.
	Import bool `json:"import,omitempty"`
	// Export converts the log of a group that is not selected back to CubeFS's WAL
	// when it is opened.
	Export bool `json:"export,omitempty"`
	// DiscardOriginal removes what an earlier import or export has kept beside a log,
	// when the log is opened the next time and is found whole.
	DiscardOriginal bool `json:"discard_original,omitempty"`
	// Shadow is the share of the groups on CubeFS's WAL that Bulkhead follows.
	Shadow Share `json:"shadow"`
	// Mode is "sync" (default), "interval" or "none".
	Mode string `json:"mode,omitempty"`
	// BringBack is "automatic" (default) or "by call": what happens to a group that
	// was stopped, when its log is good again.
	BringBack string `json:"bring_back,omitempty"`
}

// Share is a part of all groups.
type Share struct {
	// Partitions are ids that belong to it.
	Partitions []uint64 `json:"partitions,omitempty"`
	// Percent of all ids belong to it, 0 to 100: always the same ids, and those of a
	// smaller share are among those of a larger one.
	Percent float64 `json:"percent,omitempty"`
}

var modes = map[string]bulkhead.Mode{
	"": bulkhead.ModeSync, "sync": bulkhead.ModeSync, "interval": bulkhead.ModeInterval, "none": bulkhead.ModeNone,
}

// ParsePolicy reads a policy from JSON. A name that it does not know is an error.
func ParsePolicy(text []byte) (Policy, error) {
	var p Policy
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return Policy{}, fmt.Errorf("the policy is not understood: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return Policy{}, errors.New("the policy is not understood: there is something after its end")
	}
	return p, p.validate()
}

func (p *Policy) validate() error {
	for _, share := range []Share{p.Share, p.Shadow} {
		if share.Percent < 0 || share.Percent > 100 {
			return fmt.Errorf("the policy has a percent of %v: it must lie between 0 and 100", share.Percent)
		}
	}
	if _, ok := modes[p.Mode]; !ok {
		return fmt.Errorf("the policy's mode is %q: it must be sync, interval or none", p.Mode)
	}
	if p.BringBack != "" && p.BringBack != automatic && p.BringBack != byCall {
		return fmt.Errorf("the policy's bring_back is %q: it must be %q or %q", p.BringBack, automatic, byCall)
	}
	return nil
}

const (
	automatic = "automatic"
	byCall    = "by call"
)

// Selects tells whether a group is to use Bulkhead from now on.
func (p *Policy) Selects(id uint64) bool { return p.Enabled && p.Share.has(id) }

// Shadows tells whether Bulkhead is to follow a group that it does not keep.
func (p *Policy) Shadows(id uint64) bool { return p.Enabled && p.Shadow.has(id) }

func (s *Share) has(id uint64) bool {
	for _, listed := range s.Partitions {
		if listed == id {
			return true
		}
	}
	return place(id) < s.Percent
}

// place spreads ids evenly over 0 to 100, in steps of a hundredth, and does so
// the same in every release.
func place(id uint64) float64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "bulkhead %d", id)
	return float64(h.Sum64()%10000) / 100
}

// source keeps the policy in force.
type source struct {
	mu     sync.Mutex
	policy Policy
	set    bool   // by SetPolicy: the variable does not count any more
	name   string // of the file that was read, and what it was like
	size   int64
	time   time.Time
	err    error // why it could not be read
}

var current source

// SetPolicy replaces the policy of this process, until it ends. Groups that are
// open follow it when they are opened again.
func SetPolicy(p Policy) error {
	if err := p.validate(); err != nil {
		return err
	}
	current.mu.Lock()
	current.policy, current.set, current.err = p, true, nil
	current.mu.Unlock()
	apply(p)
	return nil
}

// CurrentPolicy returns the policy in force. If the one that the variable names
// cannot be read, the last good one stays in force, and the error says why.
func CurrentPolicy() (Policy, error) {
	current.mu.Lock()
	before := current.err
	if !current.set {
		current.refresh(os.Getenv(PolicyVariable))
	}
	p, err := current.policy, current.err
	current.mu.Unlock()
	if err != nil && (before == nil || before.Error() != err.Error()) {
		warn("bulkhead: the policy stays as it was: " + err.Error())
	}
	apply(p)
	return p, err
}

func (s *source) refresh(value string) {
	value = strings.TrimSpace(value)
	text := []byte(value)
	switch {
	case value == "":
		return
	case !strings.HasPrefix(value, "{"):
		info, err := os.Stat(value)
		if err != nil {
			s.name, s.err = "", err // it is read again, changed or not
			return
		}
		if s.name == value && s.size == info.Size() && s.time.Equal(info.ModTime()) {
			return
		}
		if text, s.err = os.ReadFile(value); s.err != nil {
			s.name = ""
			return
		}
		s.name, s.size, s.time = value, info.Size(), info.ModTime()
	}
	p, err := ParsePolicy(text)
	if s.err = err; err == nil {
		s.policy = p
	}
}
