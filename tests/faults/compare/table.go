package compare

import (
	"fmt"
	"io"
	"strings"

	"github.com/bulkhead-wal/bulkhead/tests/faults/scenario"
)

// severity orders what runs of one scenario on several filesystems ended with: a cell shows the worst. What could not be run
// says nothing about the system, and is shown only where nothing else is known.
var severity = map[string]int{"n/a": 0, "broken": 1, "held": 2, "failed": 3, "hung": 4, "died": 5, "lost": 6}

// words are those of the table. A run that "failed" missed the demand without losing anything.
var words = map[string]string{"n/a": "n.a.", "broken": "not run", "failed": "not held"}

// Table prints one table per durability mode, since only equal durability compares, and notes on what did not hold.
func Table(out io.Writer, records []Record) {
	t := &table{out: out}
	for _, mode := range []string{"sync", "none", "interval"} {
		t.mode(records, mode)
	}
	fmt.Fprintln(out)
	for i, note := range t.notes {
		fmt.Fprintf(out, "%d. %s\n", i+1, note)
	}
}

type table struct {
	out   io.Writer
	notes []string
}

func (t *table) mode(records []Record, mode string) {
	var systems, scenarios []string
	cells := make(map[[2]string]Record)
	rows := make(map[string]string)
	for _, r := range records {
		if r.Mode != mode {
			continue
		}
		rows[r.Scenario] = r.Row
		systems, scenarios = add(systems, r.System+" "+r.Version), add(scenarios, r.Scenario)
		key := [2]string{r.Scenario, r.System + " " + r.Version}
		if known, ok := cells[key]; !ok || severity[r.Outcome] > severity[known.Outcome] {
			cells[key] = r
		}
	}
	if len(systems) < 2 { // nothing to compare with
		return
	}
	scenarios = inOrder(scenarios)
	fmt.Fprintf(t.out, "\nMode %s:\n\n| scenario | requirements | %s |\n|---|---|%s\n", mode, strings.Join(systems, " | "),
		strings.Repeat("---|", len(systems)))
	for _, s := range scenarios {
		fmt.Fprintf(t.out, "| %s | %s |", s, rows[s])
		for _, system := range systems {
			fmt.Fprintf(t.out, " %s |", t.cell(cells, s, system))
		}
		fmt.Fprintln(t.out)
	}
}

// inOrder puts names into the order of the list of scenarios: runs end in any order.
func inOrder(names []string) []string {
	var all, ordered []string
	for _, s := range scenario.Scenarios {
		all = append(all, s.Name)
	}
	for _, known := range append(all, RaftGroup) {
		for _, name := range names {
			if name == known {
				ordered = append(ordered, name)
			}
		}
	}
	return ordered
}

func (t *table) cell(cells map[[2]string]Record, name, system string) string {
	r, ok := cells[[2]string{name, system}]
	if !ok {
		return "-"
	}
	word := r.Outcome
	if w, ok := words[word]; ok {
		word = w
	}
	if r.Outcome == "held" {
		if r.NotAsked != "" {
			word += ", " + r.NotAsked + " n.a."
		}
		return word
	}
	return fmt.Sprintf("%s (%d)", word, t.note(explain(r)))
}

// note numbers a note; the same text is noted once.
func (t *table) note(text string) int {
	for i, known := range t.notes {
		if known == text {
			return i + 1
		}
	}
	t.notes = append(t.notes, text)
	return len(t.notes)
}

func add(list []string, word string) []string {
	if contains(list, word) {
		return list
	}
	return append(list, word)
}
