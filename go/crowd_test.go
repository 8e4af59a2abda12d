package bulkhead

import "testing"

// A crowd waits outside, and so does everybody for a while after it: those inside keep the processors from all other goroutines.
func TestOnlyAFewWaitInside(t *testing.T) {
	var inside int32
	c := crowd{few: 2, inside: &inside}
	calmDown := func(c *crowd) {
		t.Helper()
		for i := 0; i < calmAppends; i++ {
			if c.enter() {
				t.Fatalf("append %d of a new crowd waits inside", i+1)
			}
			c.leave(false)
		}
	}
	calmDown(&c)
	for i := 0; i < 2; i++ {
		if !c.enter() {
			t.Fatal("one of two waits outside")
		}
	}
	if c.enter() {
		t.Fatal("a third one waits inside")
	}
	c.leave(false)
	c.leave(true)
	c.leave(true)
	calmDown(&c)
	for i := 0; i < 2; i++ {
		if !c.enter() {
			t.Fatal("one of two waits outside, after the crowd")
		}
	}
	other := crowd{few: 2, inside: &inside}
	calmDown(&other)
	if other.enter() {
		t.Fatal("one of another disk waits inside beside two")
	}
	other.leave(false)
	c.leave(true)
	c.leave(true)
	if !other.enter() {
		t.Fatal("one alone waits outside")
	}
	other.leave(true)
	if inside != 0 {
		t.Fatalf("%d are inside, and nobody is", inside)
	}
}
