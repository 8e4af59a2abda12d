package demo

import "fmt"

// What is demanded of Bulkhead.
const (
	mediumToldS       = 15 // the master, where the medium failed
	otherToldS        = 75 // the master, otherwise: the datanode looks once a minute
	nodeToldS         = 1
	reactedS          = 1 // the datanode, from the first error that its log met
	healthyThroughput = 0.95
	leaderChanges     = 1
)

// demand of a scenario beyond those that hold for all.
type demand struct {
	masterToldS float64 // 0: nobody need be told
	nodeToldS   float64
	reactedS    float64
	mayStall    bool
	switches    bool // groups change hands
}

var demands = map[string]demand{
	"follower-dies": {masterToldS: mediumToldS, nodeToldS: nodeToldS, reactedS: reactedS},
	"leader-dies":   {masterToldS: mediumToldS, nodeToldS: nodeToldS, reactedS: reactedS},
	"two-die":       {masterToldS: mediumToldS, nodeToldS: nodeToldS, reactedS: reactedS, mayStall: true},
	"bad-block":     {},
	"full":          {masterToldS: otherToldS},
	"kill":          {masterToldS: otherToldS},
	"rolling":       {switches: true},
}

// broken says what of the demands was not kept.
func (r *Result) broken() (broken []string) {
	if r.Error != "" {
		return []string{r.Error}
	}
	d := demands[r.Scenario]
	check := func(kept bool, format string, args ...any) {
		if !kept {
			broken = append(broken, fmt.Sprintf(format, args...))
		}
	}
	check(r.ProcessesAlive == r.Processes, "%d of %d processes live", r.ProcessesAlive, r.Processes)
	check(d.masterToldS == 0 || within(r.MasterToldS, d.masterToldS), "the master was told after %s s, not within %.0f", secondsOrNever(r.MasterToldS), d.masterToldS)
	check(d.nodeToldS == 0 || within(r.NodeToldS, d.nodeToldS), "the datanode was told after %s s, not within %.0f", secondsOrNever(r.NodeToldS), d.nodeToldS)
	check(d.reactedS == 0 || within(r.ReactedS, d.reactedS), "the datanode was told %s s after its log met an error, not within %.0f", secondsOrNever(r.ReactedS), d.reactedS)
	check(d.mayStall || r.StalledWriters == 0, "%d of %d writers stalled, the longest for %.1f s", r.StalledWriters, r.Writers, r.LongestPauseS)
	check(r.HealthyThroughput >= healthyThroughput, "healthy files had %.2f of their throughput", r.HealthyThroughput)
	check(r.RecoveredS >= 0, "not recovered: %s", r.Note)
	if wanted := alerts[r.Scenario]; wanted.name != "" {
		check(r.AlertS >= 0, "%s did not fire", wanted.name)
		check(r.AlertS < 0 || wanted.stays || r.AlertOverS >= 0, "%s was not over within %v of the recovery", wanted.name, alertLimit)
	}
	if d.switches && r.LeaderChanges == nil {
		check(false, "no group was switched over")
	} else if d.switches {
		check(*r.LeaderChanges <= leaderChanges, "switching a group over cost it %d leader changes", *r.LeaderChanges)
	}
	check(r.WrongBytes == 0, "%d bytes are not what was acknowledged", r.WrongBytes)
	return broken
}

func within(seconds, limit float64) bool { return seconds >= 0 && seconds <= limit }
