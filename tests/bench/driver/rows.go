package main

// arm is one system in one row. The names are those of results.json.
type arm struct {
	name     string
	program  string // which of the three programs runs it
	against  string // the arm its ratio is taken to; empty: the row's reference
	fullOnly bool   // not in quick mode
}

type workload struct {
	id          string
	title       string
	minRatio    float64 // what the judged arms have to reach against their reference
	maxP99Ratio float64 // 0: no target
	fullOnly    bool    // row B9: not in quick mode
}

type row struct {
	id        string
	title     string
	durable   bool
	reference []string // the best of these, by median, is what ratios are taken to
	judged    []string // the arms that have a target
	arms      []arm
	workloads []workload
	measure   func(row, []workload, settings) ([]outcome, error) // nil: measureRow
}

const (
	rustArms     = "bench-rust"
	otherArms    = "others"
	bulkheadArms = "bulkhead"
)

var rows = []row{
	{
		id:        "B1",
		title:     "durable, 1 partition, 1 producer",
		durable:   true,
		reference: []string{"raw-buffered", "raw-direct"},
		judged:    []string{"bulkhead"},
		arms: []arm{
			{name: "raw-buffered", program: rustArms},
			{name: "raw-direct", program: rustArms},
			{name: "bulkhead", program: rustArms},
			{name: "bulkhead-go", program: bulkheadArms},
			{name: "raft-engine", program: rustArms},
			{name: "etcd", program: otherArms},
			{name: "raft-wal", program: otherArms},
			{name: "cubefs", program: otherArms},
		},
		workloads: []workload{
			{id: "B1/128", title: "128 B", minRatio: 0.9, maxP99Ratio: 1.2},
			{id: "B1/4096", title: "4 KiB", minRatio: 0.9, maxP99Ratio: 1.2},
			{id: "B1/65536", title: "64 KiB", minRatio: 0.9, maxP99Ratio: 1.2},
		},
	},
	{
		id:        "B4",
		title:     "not synced, 1 partition, 1 producer, through Go",
		reference: []string{"cubefs"},
		judged:    []string{"bulkhead", "bulkhead-adapter", "bulkhead-adapter-commit"},
		arms: []arm{
			{name: "cubefs", program: otherArms},
			{name: "bulkhead", program: bulkheadArms},
			{name: "bulkhead-adapter", program: bulkheadArms},
			{name: "raw-pwrite", program: rustArms},
			{name: "raw-overwrite", program: rustArms},
			{name: "cubefs-commit", program: otherArms, fullOnly: true},
			{name: "bulkhead-adapter-commit", program: bulkheadArms, against: "cubefs-commit", fullOnly: true},
			{name: "bulkhead-rust", program: rustArms, fullOnly: true},
		},
		workloads: []workload{
			{id: "B4/128", title: "128 B", minRatio: 1.25},
			{id: "B4/4096", title: "4 KiB", minRatio: 2},
			{id: "B4/65536", title: "64 KiB", minRatio: 3},
			{id: "B4/64x4096", title: "64 x 4 KiB", minRatio: 2},
		},
	},
	{
		id:        "B9",
		title:     "63 of 64 partitions, 4 KiB, while the first one fails",
		reference: []string{controlArm},
		judged:    []string{faultArm},
		arms:      []arm{{name: controlArm}, {name: secondArm}, {name: faultArm}, {name: outsideArm}},
		workloads: []workload{
			{id: "B9/sync-eio", title: "mode sync, EIO", minRatio: 0.95},
			{id: "B9/sync-hang", title: "mode sync, a hang", minRatio: 0.95, fullOnly: true},
			{id: "B9/sync-nospace", title: "mode sync, no space", minRatio: 0.95, fullOnly: true},
			{id: "B9/none-eio", title: "mode none, EIO", minRatio: 0.95, fullOnly: true},
			{id: "B9/none-hang", title: "mode none, a hang", minRatio: 0.95, fullOnly: true},
			{id: "B9/none-hang-no-wbt", title: "mode none, a hang, wbt_lat_usec 0", minRatio: 0.95, fullOnly: true},
			{id: "B9/none-quota", title: "mode none, no space in one directory", minRatio: 0.95, fullOnly: true},
		},
		measure: measureNeighbours,
	},
}

func (r row) isJudged(name string) bool {
	for _, judged := range r.judged {
		if judged == name {
			return true
		}
	}
	return false
}
