package show

import (
	"fmt"
	"io"
	"strings"

	"github.com/bulkhead-wal/bulkhead/tests/demo/internal/driver"
)

const labelColumns = 34

type entry struct {
	label string
	value func(*driver.Result) string
}

var comparison = []entry{
	{"the error", func(r *driver.Result) string { return r.ErrorKind }},
	{"raft got from the WAL", firstError},
	{"  after the disk's death, in ms", firstAfter},
	{"process that met it", process},
	{"owner of the partition told", told},
	{"state it reported meanwhile", reported},
	{"alert in Prometheus", alert},
	{"leader calls the replica down", func(r *driver.Result) string { return r.LeaderSaw }},
	{"healthy partitions", func(r *driver.Result) string { return fmt.Sprintf("%d of %d", r.Healthy, r.Others) }},
	{"  their writes/s", func(r *driver.Result) string {
		return fmt.Sprintf("%.0f; under the fault %.0f", r.RateBefore, r.RateFault)
	}},
	{"  longest pause, in ms", func(r *driver.Result) string {
		return fmt.Sprintf("%.0f; under it %.0f, after it %.0f", ms(r.PauseBefore), ms(r.PauseFault), ms(r.PauseAfter))
	}},
	{"faulted partition: unanswered", func(r *driver.Result) string { return fmt.Sprintf("%d writes", r.Unanswered) }},
	{"its replica after the disk is back", recovered},
	{"acknowledged writes looked for", func(r *driver.Result) string { return fmt.Sprint(r.Acked) }},
	{"  the faulted replica lacks", missing},
	{"  lost on a replica in service", lost},
}

// firstError leaves out the path in the middle, which the events have shown.
func firstError(r *driver.Result) string {
	if r.FirstError == "" {
		return "nothing: its owner was first"
	}
	parts := strings.Split(r.FirstError, ": ")
	return parts[len(parts)-1]
}

func firstAfter(r *driver.Result) string {
	if r.FirstError == "" {
		return "-"
	}
	return fmt.Sprintf("%.0f", ms(r.FirstAfter))
}

func process(r *driver.Result) string {
	if r.Alive {
		return "alive"
	}
	return fmt.Sprintf("dead: nodes %v", r.DeadNodes)
}

func told(r *driver.Result) string {
	if !r.Told {
		return fmt.Sprintf("no, not in %.0f s", r.Waited.Seconds())
	}
	if r.ToldAfter <= 0 {
		return "yes, before raft had the error"
	}
	return fmt.Sprintf("yes, after %.1f ms", ms(r.ToldAfter))
}

func alert(r *driver.Result) string {
	switch {
	case !r.Watched && r.Engine == "cubefs":
		return "no: there is no metric of it"
	case !r.Watched:
		return "not looked for: no Prometheus"
	case r.AlertAfter < 0:
		return "no"
	case r.OverAfter < 0:
		return fmt.Sprintf("fires after %.1f s, not over", r.AlertAfter.Seconds())
	}
	return fmt.Sprintf("fires after %.1f s, over after %.1f s", r.AlertAfter.Seconds(), r.OverAfter.Seconds())
}

func reported(r *driver.Result) string {
	if r.OwnerCause == "" {
		return r.OwnerState
	}
	return r.OwnerState + ": " + r.OwnerCause
}

func recovered(r *driver.Result) string {
	if !r.Recovered {
		return fmt.Sprintf("dead, %d entries behind", r.Behind)
	}
	return fmt.Sprintf("caught up after %.1f s", r.RecoverTime.Seconds())
}

func missing(r *driver.Result) string {
	if r.MissingCopy < 0 {
		return "unknown, its process is dead"
	}
	return fmt.Sprint(r.MissingCopy)
}

func lost(r *driver.Result) string {
	text := fmt.Sprint(r.Lost)
	if len(r.Diverged) > 0 {
		text += fmt.Sprintf("; replicas of %v differ", r.Diverged)
	}
	if r.Corrupt > 0 {
		text += fmt.Sprintf("; %d damaged", r.Corrupt)
	}
	return text
}

// Summary prints the results side by side, and says how the comparison is fair.
func Summary(out io.Writer, results []*driver.Result, width int) {
	column := 60
	if len(results) > 0 && width > labelColumns+20 {
		if fit := (width - labelColumns - 2) / len(results); fit < column {
			column = fit
		}
	}
	head := pad("", labelColumns)
	for _, r := range results {
		head += "  " + pad(EngineName(r.Engine), column-2)
	}
	fmt.Fprintf(out, "\n%s\n", strings.TrimRight(head, " "))
	for _, e := range comparison {
		text := pad(cut(e.label, labelColumns), labelColumns)
		for _, r := range results {
			text += "  " + pad(cutMiddle(e.value(r), column-2), column-2)
		}
		fmt.Fprintln(out, strings.TrimRight(text, " "))
	}
	fmt.Fprint(out, `
The same disk died and came back for each engine, and each owner got the same
word that it is back. An owner acts on a fault it was told of; nobody is told on
its behalf. Bulkhead heals by itself what passes: it tried for 300 ms before raft
got the error. A dead file system does not pass, and raft closes the log at the
first error: so the owner opens it again. What a dead replica lacks is not lost:
the other two have it.
CubeFS's own WAL ran as CubeFS runs it, nothing synced; Bulkhead in mode sync.

`)
}

// ResultLine is the machine-readable outcome.
func ResultLine(r *driver.Result) string {
	word := func(b bool, yes, no string) string {
		if b {
			return yes
		}
		return no
	}
	return fmt.Sprintf("RESULT engine=%s process=%s owner_told=%s healthy_partitions=%d/%d faulted_partition=%s lost_entries=%d",
		r.Engine, word(r.Alive, "alive", "dead"), word(r.Told, "yes", "no"), r.Healthy, r.Others,
		word(r.Recovered, "recovered", "dead"), r.Lost)
}

// Width is the terminal's number of columns, or 120.
func (l *Live) Width() int {
	if _, columns, ok := size(l.out); ok && l.terminal {
		return columns
	}
	return 120
}
