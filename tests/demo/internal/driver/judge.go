package driver

import (
	"time"

	"github.com/bulkhead-wal/bulkhead/tests/demo/internal/wire"
)

func (a *arm) judgeOwner() {
	r := &a.result
	r.Waited = time.Since(a.before.taken)
	first, failed := a.tracker.find(wire.EvFirstError, a.o.FaultNode, a.o.FaultGroup)
	if failed {
		r.FirstError = first.Event.Text
		r.FirstAfter = first.Time.Sub(a.brokenAt)
	}
	if told, ok := a.tracker.find(wire.EvTold, a.o.FaultNode, a.o.FaultGroup); ok {
		r.Told, r.ToldText = true, told.Event.Text
		if failed {
			r.ToldAfter = told.Time.Sub(first.Time)
		}
	}
}

func (a *arm) judgeOthers() {
	r := &a.result
	before, during := rates(a.started, a.before), rates(a.before, a.failed)
	for g := uint64(1); g <= a.o.Groups; g++ {
		if g == a.o.FaultGroup {
			continue
		}
		r.RateBefore += before[g]
		r.RateFault += during[g]
		if before[g] > 0 && during[g] >= keepShare*before[g] {
			r.Healthy++
		}
	}
}
