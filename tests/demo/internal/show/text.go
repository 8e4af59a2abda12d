// Package show puts the demo before a person: a live table that is redrawn in place
// on a terminal, plain lines elsewhere, and the comparison at the end.
package show

import (
	"fmt"
	"strings"
	"time"

	"github.com/bulkhead-wal/bulkhead/tests/demo/internal/driver"
	"github.com/bulkhead-wal/bulkhead/tests/demo/internal/wire"
)

// EngineName is how an engine is called in headlines.
func EngineName(engine string) string {
	if engine == "cubefs" {
		return "CubeFS's own WAL"
	}
	return "Bulkhead"
}

// eventText is one line for an event; empty for those that say nothing to a person.
func eventText(s driver.Seen) string {
	e := s.Event
	where := fmt.Sprintf("node %d: ", s.Node)
	switch e.Name {
	case driver.EvDriver:
		return e.Text
	case wire.EvFirstError:
		return where + "raft gets an error from " + e.Text
	case wire.EvTold:
		return where + fmt.Sprintf("OWNER TOLD (cause %s): %s", e.Cause, e.Text)
	case wire.EvRecoverFailed:
		return where + "not back yet: " + e.Text
	case wire.EvRecovered:
		return where + e.Text + ", " + e.State + " again"
	default:
		return where + e.Text
	}
}

// cut shortens a line to a number of columns. All text here is one column a rune.
func cut(s string, columns int) string {
	r := []rune(s)
	if len(r) <= columns {
		return s
	}
	if columns < 1 {
		return ""
	}
	return string(r[:columns-1]) + "…"
}

// cutMiddle keeps both ends: an error begins with the call and ends with its cause.
func cutMiddle(s string, columns int) string {
	r := []rune(s)
	if len(r) <= columns || columns < 3 {
		return cut(s, columns)
	}
	return string(r[:columns/2]) + "…" + string(r[len(r)-(columns-columns/2-1):])
}

func pad(s string, columns int) string {
	if n := len([]rune(s)); n < columns {
		return s + strings.Repeat(" ", columns-n)
	}
	return s
}

func bar(value, full float64, columns int) string {
	if full <= 0 || value < 0 {
		return ""
	}
	n := int(value/full*float64(columns) + 0.5)
	if n > columns {
		n = columns
	}
	return strings.Repeat("█", n)
}

func clock(since time.Time) string {
	return fmt.Sprintf("%5.1f s", time.Since(since).Seconds())
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
