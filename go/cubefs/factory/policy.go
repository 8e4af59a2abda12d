package factory

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
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
	// Enabled is the one switch: without it no directory becomes Bulkhead's,
	// whatever the rest says. Those that are stay it.
	Enabled bool `json:"enabled"`
	// Partitions are the ids that use Bulkhead.
	Partitions []uint64 `json:"partitions,omitempty"`
	// Percent of all ids use Bulkhead, 0 to 100: always the same ids, and those of
	// a smaller share are among those of a larger one.
	Percent float64 `json:"percent,omitempty"`
	// Mode is "sync" (default), "interval" or "none".
	Mode string `json:"mode,omitempty"`
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
	return p, p.validate()
}

func (p *Policy) validate() error {
	if p.Percent < 0 || p.Percent > 100 {
		return fmt.Errorf("the policy's percent is %v: it must lie between 0 and 100", p.Percent)
	}
	if _, ok := modes[p.Mode]; !ok {
		return fmt.Errorf("the policy's mode is %q: it must be sync, interval or none", p.Mode)
	}
	return nil
}

// Selects tells whether a group is to use Bulkhead from now on.
func (p *Policy) Selects(id uint64) bool {
	if !p.Enabled {
		return false
	}
	for _, listed := range p.Partitions {
		if listed == id {
			return true
		}
	}
	return share(id) < p.Percent
}

// share spreads ids evenly over 0 to 100, in steps of a hundredth, and does so
// the same in every release.
func share(id uint64) float64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "bulkhead %d", id)
	return float64(h.Sum64()%10000) / 100
}

// source keeps the policy in force.
type source struct {
	mu      sync.Mutex
	policy  Policy
	set     bool // by SetPolicy: the variable does not count any more
	checked string
	size    int64
	changed time.Time
}

var current source

// SetPolicy replaces the policy of this process, until it ends.
func SetPolicy(p Policy) error {
	if err := p.validate(); err != nil {
		return err
	}
	current.mu.Lock()
	current.policy, current.set = p, true
	current.mu.Unlock()
	return nil
}

// CurrentPolicy returns the policy in force. If it cannot be read the last good
// one stays in force, and the error says why.
func CurrentPolicy() (Policy, error) {
	current.mu.Lock()
	defer current.mu.Unlock()
	if current.set {
		return current.policy, nil
	}
	err := current.refresh(os.Getenv(PolicyVariable))
	return current.policy, err
}

func (s *source) refresh(value string) error {
	value = strings.TrimSpace(value)
	if value == "" {
		return nil
	}
	text := []byte(value)
	if !strings.HasPrefix(value, "{") {
		info, err := os.Stat(value)
		if err != nil {
			return err
		}
		if s.checked == value && s.size == info.Size() && s.changed.Equal(info.ModTime()) {
			return nil
		}
		if text, err = os.ReadFile(value); err != nil {
			return err
		}
		s.checked, s.size, s.changed = value, info.Size(), info.ModTime()
	}
	p, err := ParsePolicy(text)
	if err != nil {
		return err
	}
	s.policy = p
	return nil
}
