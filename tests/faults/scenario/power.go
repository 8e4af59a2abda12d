package scenario

// Method 4: the power goes. The filesystem is shut down without flushing its journal, by ioctl, and mounted anew.
var powerCut = []Scenario{{
	Name: "power-cut", Method: "shutdown ioctl", Rows: []string{"F18", "F20", "F11"},
	Demand:      "nothing durable is lost; votes survive in every mode; what else is gone is an end and not damage",
	Filesystems: withShutdown(),
	Run:         runPowerCut,
}}

func runPowerCut(e *Env) string {
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
		o.MustVote(l, uint64(10*round), uint64(round))
		for i := 0; i < 20+e.Random.Intn(100); i++ {
			o.MustAppend(l, 1+e.Random.Intn(4), e.Random.Intn(9000))
			if e.Mode != "sync" && e.Random.Intn(30) == 0 {
				o.Sync(l)
			}
		}
		o.MustVote(l, uint64(10*round+1), uint64(round))
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
