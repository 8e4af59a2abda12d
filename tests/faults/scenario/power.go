package scenario

// Method 4: the power goes. The filesystem is shut down without flushing its journal, by ioctl, and mounted anew.
var powerCut = []Scenario{{
	Name: "power-cut", Method: "shutdown ioctl", Rows: []string{"F20", "F11"},
	Demand:      "nothing durable is lost; what else is gone is an end and not damage",
	Filesystems: withShutdown(),
	Run:         func(e *Env) string { return e.runPowerCut(func(*Owner, *Ledger, uint64) {}) },
}, {
	Name: "power-cut-votes", Method: "shutdown ioctl", Rows: []string{"F18", "F20"},
	Demand:      "a vote that was acknowledged survives in every mode, also between appends",
	Filesystems: withShutdown(),
	Run:         func(e *Env) string { return e.runPowerCut((*Owner).voteTwice) },
}}

// voteTwice votes in one term and in the next.
func (o *Owner) voteTwice(l *Ledger, round uint64) {
	o.MustVote(l, 2*round, round)
	o.MustVote(l, 2*round+1, round)
}

func (e *Env) runPowerCut(vote func(*Owner, *Ledger, uint64)) string {
	rounds := 3
	if e.Full {
		rounds = 20
	}
	d := e.Disk()
	l := d.Ledger(1)
	var unsynced uint64
	for round := 1; round <= rounds; round++ {
		o := e.Start()
		o.OpenWritable(l)
		vote(o, l, uint64(2*round))
		for i := 0; i < 20+e.Random.Intn(100); i++ {
			o.MustAppend(l, 1+e.Random.Intn(4), e.Random.Intn(9000))
			if e.Mode != "sync" && e.Random.Intn(30) == 0 {
				o.Sync(l)
			}
		}
		vote(o, l, uint64(2*round+1))
		e.must(d.Shutdown())
		o.Quit()
		d.Remount(l)

		o = e.Start()
		state := o.Open(l)
		o.MustHold(l, state, l.Durable, "after a power cut")
		if e.Mode != "sync" && (state.Damaged[1] > 0 || state.State == "Unavailable") {
			e.End(Failed, "the lost unsynced tail is called damage: %s %s %s", state.State, state.Cause, state.Fault)
		}
		unsynced += l.goOn(state.Last)
		o.MustAppend(l, 1, 100)
		o.Close(l)
		o.Quit()
	}
	return sprintf("%d power cuts, nothing durable lost; %d unsynced entries gone, reported as an end", rounds, unsynced)
}
