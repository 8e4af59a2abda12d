package demo

import (
	"sort"
	"time"

	"github.com/bulkhead-wal/bulkhead/tests/cluster/internal/cluster"
	"github.com/bulkhead-wal/bulkhead/tests/cluster/internal/load"
)

// window is the writes of the healthy files over some time.
type window struct {
	perSecond float64
	p99       time.Duration
}

// measured is what the healthy files do until done says so.
func (r *run) measured(done func() bool) window {
	files := r.files[targetFiles:]
	var before int64
	for _, f := range r.files {
		f.Mark()
	}
	for _, f := range files {
		before += f.Writes()
	}
	begin := time.Now()
	for !done() {
		time.Sleep(pollEvery)
	}
	var after int64
	var took []time.Duration
	for _, f := range files {
		after += f.Writes()
		took = append(took, f.Latencies()...)
	}
	return window{float64(after-before) / time.Since(begin).Seconds(), percentile99(took)}
}

func percentile99(d []time.Duration) time.Duration {
	if len(d) == 0 {
		return 0
	}
	sort.Slice(d, func(i, j int) bool { return d[i] < d[j] })
	return d[len(d)*99/100]
}

func (r *run) before() window {
	until := time.Now().Add(baseline)
	r.say("no fault yet")
	w := r.measured(func() bool { return time.Now().After(until) })
	r.result.HealthyP99BeforeMS = ms(w.p99)
	return w
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// during watches while the fault lasts: until it is over, at least faultLeast and at most faultMost.
func (r *run) during(before window, fault time.Time, over func() bool) {
	w := r.measured(func() bool {
		lasts := time.Since(fault)
		return lasts > faultMost || lasts > faultLeast && over()
	})
	r.result.HealthyP99DuringMS = ms(w.p99)
	if before.perSecond > 0 {
		r.result.HealthyThroughput = w.perSecond / before.perSecond
	}
}

// masterTold is how most faults last.
func (r *run) masterTold() bool {
	_, master := r.w.told()
	return master >= 0
}

// recovery waits until all is sound again, after the cause has been removed.
func (r *run) recovery(mended time.Time) {
	defer r.alertEnds(mended)
	if problem := r.await(recoverMost, r.w.problem); problem == "" {
		r.result.RecoveredS = (time.Since(mended) - soundFor).Seconds()
		if r.result.RecoveredS < 0 {
			r.result.RecoveredS = 0
		}
	} else {
		r.say("not recovered: " + problem)
		r.result.Note = problem
	}
}

// resumed waits until the target's files are written again.
func (r *run) resumed(since time.Time, limit time.Duration) {
	for time.Since(since) < limit {
		before := targetWrites(r.files)
		time.Sleep(time.Second)
		if targetWrites(r.files)-before >= resumedWrites {
			r.result.ResumedS = (time.Since(since) - time.Second).Seconds()
			return
		}
	}
}

func targetWrites(files []*load.File) (n int64) {
	for _, f := range files[:targetFiles] {
		n += f.Writes()
	}
	return n
}

// judge fills in what holds over the whole time since the fault.
func (r *run) judge() {
	r.result.ProcessesAlive, r.result.Processes = r.c.Alive(), len(cluster.Servers())
	node, master := r.w.told()
	r.result.NodeToldS, r.result.MasterToldS, r.result.ReactedS = seconds(node), seconds(master), seconds(r.w.reacted())
	r.result.Writers = len(r.files)
	for _, f := range r.files {
		pause := f.LongestPause()
		if pause >= stall {
			r.result.StalledWriters++
		}
		if pause.Seconds() > r.result.LongestPauseS {
			r.result.LongestPauseS = pause.Seconds()
		}
		r.result.RefusedWrites += f.Errors()
		if p := f.Problem(); p != nil {
			r.say("the last refused write of " + f.Path + ": " + p.Error())
		}
	}
}
