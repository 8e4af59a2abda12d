package shadow

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDifferingShadow: a wrong answer must be found, and nothing else made of it.
func TestDifferingShadow(t *testing.T) {
	s, root, set := hinderedPair(t)
	set(func(h *hindered) { h.lie = true })
	must(t, s.StoreEntries(batch(1, 10, 1, 64)))
	settled(t, s)
	entries, _, err := s.Entries(1, 10, 1<<30)
	must(t, err)
	if string(entries[0].Data) != string(batch(1, 2, 1, 64)[0].Data) {
		t.Error("raft got the shadow's answer")
	}
	if r := settled(t, s); r.Differences != 1 || r.Faults != 0 || !strings.Contains(Blemish(root, id), "difference") {
		t.Errorf("%+v, %q", r, Blemish(root, id))
	}
}

// TestClearedShadowIsMarkedAgain: what a shadow has got wrong before says nothing of
// what it gets wrong after its owner has cleared that.
func TestClearedShadowIsMarkedAgain(t *testing.T) {
	s, root, set := hinderedPair(t)
	set(func(h *hindered) { h.lie = true })
	must(t, s.StoreEntries(batch(1, 10, 1, 64)))
	for i := 0; i < 2; i++ {
		_, _, err := s.Entries(1, 10, 1<<30)
		must(t, err)
		if r := settled(t, s); !strings.Contains(Blemish(root, id), "difference") || r.Blemish != Blemish(root, id) {
			t.Fatalf("read %d: %+v, %q", i, r, Blemish(root, id))
		}
		eventually(t, "the mark is written", func() bool { b, _ := os.ReadFile(markPath(root, id)); return len(b) > 0 })
		must(t, Clear(root, id))
		if r := s.Report(); r.Blemish != "" {
			t.Fatalf("cleared, and %q", r.Blemish)
		}
	}
}

// TestMarkStays: a blemish must outlive the process, until somebody clears it.
// The root may be missing yet: the shadow makes it when it begins.
func TestMarkStays(t *testing.T) {
	root := filepath.Join(t.TempDir(), "shadows")
	blemish(root, id, "a reason")
	eventually(t, "the mark is written", func() bool { b, _ := os.ReadFile(markPath(root, id)); return len(b) > 0 })
	blemishes.mu.Lock()
	blemishes.of = nil // another process
	blemishes.mu.Unlock()
	if why := Blemish(root, id); !strings.Contains(why, "a reason") {
		t.Errorf("%q", why)
	}
	if Blemish(root, id+1) != "" {
		t.Error("another log is marked")
	}
	must(t, Clear(root, id))
	if Blemish(root, id) != "" {
		t.Error("it is still marked")
	}
}
