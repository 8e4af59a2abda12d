package cubefs

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
)

// TestToldInOrder: what the owner does depends on which fault was the last, on whether
// it has healed since, and that nothing comes after the end.
func TestToldInOrder(t *testing.T) {
	for round := 0; round < 20; round++ {
		told := make(chan string, 10)
		s := open(t, walDir(t), &Config{
			OnFault:  func(f Fault) { time.Sleep(time.Millisecond); told <- f.State.String() },
			OnHealed: func() { told <- "healed" },
			OnClosed: func() { told <- "closed" },
		})
		for _, state := range []bulkhead.State{bulkhead.StateReadOnly, bulkhead.StateUnavailable} {
			s.tell(Fault{State: state, Cause: bulkhead.CauseNoSpace})
		}
		s.recovered()
		s.tell(Fault{State: bulkhead.StateUnavailable})
		s.Close()
		var got []string
		for len(got) == 0 || got[len(got)-1] != "closed" {
			got = append(got, <-told)
		}
		if want := []string{"ReadOnly", "Unavailable", "healed", "Unavailable", "closed"}; !reflect.DeepEqual(got, want) {
			t.Fatal(fmt.Sprint("told: ", got))
		}
	}
}
