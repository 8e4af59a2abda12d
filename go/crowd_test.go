package bulkhead

import "testing"

// A crowd waits outside, and so does everybody for a while after it: those inside keep the processors from all other goroutines.
func TestOnlyAFewWaitInside(t *testing.T) {
	c := crowd{few: 2}
	calmDown := func() {
		t.Helper()
		for i := 0; i < calmAppends; i++ {
			if c.enter() {
				t.Fatalf("append %d of a new crowd waits inside", i+1)
			}
			c.leave()
		}
	}
	calmDown()
	if !c.enter() || !c.enter() {
		t.Fatal("two of two wait outside")
	}
	if c.enter() {
		t.Fatal("a third one waits inside")
	}
	c.leave()
	c.leave()
	c.leave()
	calmDown()
	if !c.enter() {
		t.Fatal("one alone waits outside")
	}
	c.leave()
}
