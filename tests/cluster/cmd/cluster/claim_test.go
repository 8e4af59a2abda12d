package main

import (
	"strings"
	"testing"

	"github.com/bulkhead-wal/bulkhead/tests/cluster/internal/build"
)

func TestTwoOfAKindDoNotMeet(t *testing.T) {
	p := build.Paths{Base: t.TempDir()}
	first, err := claim(p, "demo")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := claim(p, "demo"); err == nil || !strings.Contains(err.Error(), "wait until it has ended") {
		t.Errorf("the second: %v", err)
	}
	other, err := claim(p, "bench")
	if err != nil {
		t.Error("another kind:", err)
	}
	other.Close()
	first.Close()
	again, err := claim(p, "demo")
	if err != nil {
		t.Fatal("the first has ended:", err)
	}
	again.Close()
}
