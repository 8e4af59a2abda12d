package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const (
	plotWidth  = 760
	labelWidth = 190
	valueWidth = 150
	barHeight  = 18
	barGap     = 7
)

// writePlots draws one SVG for each row: a panel for each workload, a bar for each arm, thin lines
// for the range of the rounds, a dashed line where the target is.
func writePlots(dir string, outcomes []outcome) error {
	panels := map[string][]outcome{}
	for _, o := range outcomes {
		panels[o.row.id] = append(panels[o.row.id], o)
	}
	for id, row := range panels {
		if err := os.WriteFile(filepath.Join(dir, id+".svg"), []byte(plotRow(row)), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func plotRow(panels []outcome) string {
	var body strings.Builder
	y := 34
	for _, o := range panels {
		y = plotPanel(&body, o, y)
	}
	r := panels[0].row
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">
<rect width="100%%" height="100%%" fill="white"/>
<text x="12" y="22" font-size="15" font-weight="bold">%s: %s</text>
%s</svg>
`, plotWidth, y+10, r.id, r.title, body.String())
}

func plotPanel(body *strings.Builder, o outcome, y int) int {
	most := 0.0
	for _, m := range o.arms {
		if _, high := extremes(m.values); high > most {
			most = high
		}
	}
	if most == 0 {
		return y
	}
	scale := float64(plotWidth-labelWidth-valueWidth) / most
	fmt.Fprintf(body, `<text x="12" y="%d" font-weight="bold">%s, entries per second</text>`+"\n", y+18, o.workload.title)
	top := y + 28
	bottom := top + bars(o)*(barHeight+barGap)
	if target := o.targetValue(); target > 0 && target <= most*1.2 {
		x := labelWidth + target*scale
		fmt.Fprintf(body, `<path d="M%.1f %d V%d" stroke="#c00" stroke-dasharray="4 3"/>`, x, top-4, bottom)
		fmt.Fprintf(body, `<text x="%.1f" y="%d" fill="#c00" text-anchor="middle" font-size="10">target</text>`+"\n", x, top-7)
	}
	y = top
	for _, m := range o.arms {
		if m.failure == nil {
			plotBar(body, o, m, y, scale)
			y += barHeight + barGap
		}
	}
	return bottom + 8
}

func bars(o outcome) int {
	count := 0
	for _, m := range o.arms {
		if m.failure == nil {
			count++
		}
	}
	return count
}

func plotBar(body *strings.Builder, o outcome, m *measured, y int, scale float64) {
	low, high := extremes(m.values)
	middle := y + barHeight/2
	fmt.Fprintf(body, `<text x="%d" y="%d" text-anchor="end">%s</text>`, labelWidth-8, middle+4, m.arm.name)
	fmt.Fprintf(body, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>`, labelWidth, y, m.value()*scale, barHeight, colour(m.arm.name))
	fmt.Fprintf(body, `<path d="M%.1f %d H%.1f" stroke="#333"/>`, labelWidth+low*scale, middle, labelWidth+high*scale)
	label := thousands(m.value())
	if reference := o.reference(m); reference != nil && reference != m {
		label += fmt.Sprintf(" (%.2f x)", median(o.ratios(m)))
	}
	// The white edge keeps it readable where the target's line crosses it.
	fmt.Fprintf(body, `<text x="%.1f" y="%d" stroke="white" stroke-width="3" paint-order="stroke">%s</text>`+"\n", labelWidth+high*scale+6, middle+4, label)
}

// targetValue is the throughput that the first judged arm has to reach.
func (o outcome) targetValue() float64 {
	for _, m := range o.arms {
		if reference := o.reference(m); m.arm.name == o.row.judged[0] && reference != nil {
			return reference.value() * o.workload.minRatio
		}
	}
	return 0
}

func colour(name string) string {
	switch {
	case strings.HasPrefix(name, "bulkhead"):
		return "#2a78c2"
	case strings.HasPrefix(name, "raw"):
		return "#b8b8b8"
	}
	return "#e0a458"
}
