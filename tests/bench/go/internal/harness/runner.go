package harness

import "time"

// Every arm of a comparison is compacted alike: each time compactEveryBytes were appended, down to
// the last keepBytes or a little more.
const (
	compactEveryBytes = 64 << 20
	keepBytes         = 64 << 20
	fillEntryBytes    = 64 << 10
	fillBatch         = 4
)

// Arm is one system under measurement.
type Arm interface {
	// Append appends consecutive entries; it returns when they are durable (B1) or written (B4).
	Append(firstIndex uint64, batch [][]byte) error
	// Compact forgets all entries up to index.
	Compact(index uint64) error
	Close() error
}

type report struct {
	Workload  string      `json:"workload"`
	Arm       string      `json:"arm"`
	Unit      string      `json:"unit"`
	Value     float64     `json:"value"`
	P50Micros float64     `json:"p50_us"`
	P99Micros float64     `json:"p99_us"`
	Appends   uint64      `json:"appends"`
	Seconds   float64     `json:"seconds"`
	Histogram [][2]uint64 `json:"histogram"`
}

type mark struct{ index, bytes uint64 }

type runner struct {
	arm           Arm
	payloads      *pool
	nextIndex     uint64
	sinceCompact  uint64 // bytes
	appendedBytes uint64
	marks         []mark // when compaction was due before, oldest first
}

func newRunner(arm Arm) *runner {
	return &runner{arm: arm, payloads: newPool(), nextIndex: 1}
}

// fill appends large entries until the log is as full as it will stay, so that the slots see the
// steady state: segments that were rotated, compacted and, where a system recycles them, recycled.
func (r *runner) fill(bytes uint64) error {
	for r.appendedBytes < bytes {
		batch := make([][]byte, fillBatch)
		for i := range batch {
			batch[i] = r.payloads.take(fillEntryBytes)
		}
		if err := r.append(batch); err != nil {
			return err
		}
		if _, err := r.compactWhenDue(); err != nil {
			return err
		}
	}
	return nil
}

// slot appends for the given time, or the given number of times if that is not 0.
func (r *runner) slot(workload Workload, limit time.Duration, appendLimit uint64) (report, error) {
	var latency histogram
	batch := make([][]byte, workload.Batch)
	start := time.Now()
	var before, end time.Duration
	for {
		for i := range batch {
			batch[i] = r.payloads.take(workload.PayloadBytes)
		}
		if err := r.append(batch); err != nil {
			return report{}, err
		}
		end = time.Since(start)
		latency.record(uint64(end - before))
		if (appendLimit > 0 && latency.total >= appendLimit) || (appendLimit == 0 && end >= limit) {
			break
		}
		// Compaction counts for the throughput, not as the latency of an append.
		before = end
		compacted, err := r.compactWhenDue()
		if err != nil {
			return report{}, err
		}
		if compacted {
			before = time.Since(start)
		}
	}
	return report{
		Workload: workload.ID, Unit: "entries/s",
		Value:     float64(latency.total) * float64(workload.Batch) / end.Seconds(),
		P50Micros: latency.quantileMicros(0.50), P99Micros: latency.quantileMicros(0.99),
		Appends: latency.total, Seconds: end.Seconds(), Histogram: latency.pairs(),
	}, nil
}

func (r *runner) append(batch [][]byte) error {
	if err := r.arm.Append(r.nextIndex, batch); err != nil {
		return err
	}
	r.nextIndex += uint64(len(batch))
	for _, payload := range batch {
		r.sinceCompact += uint64(len(payload))
		r.appendedBytes += uint64(len(payload))
	}
	return nil
}

func (r *runner) compactWhenDue() (bool, error) {
	if r.sinceCompact < compactEveryBytes {
		return false, nil
	}
	r.sinceCompact = 0
	r.marks = append(r.marks, mark{r.nextIndex - 1, r.appendedBytes})
	for i := len(r.marks) - 1; i >= 0; i-- {
		if r.marks[i].bytes+keepBytes <= r.appendedBytes {
			index := r.marks[i].index
			r.marks = r.marks[i+1:]
			return true, r.arm.Compact(index)
		}
	}
	return false, nil
}
