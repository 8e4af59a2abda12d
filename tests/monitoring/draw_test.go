package monitoring

import (
	"fmt"
	"html"
	"math"
	"strings"
	"time"
)

// drawing is a panel with its data.
type drawing struct {
	panel panel
	lines []namedLine
}

type namedLine struct {
	name   string
	points [][2]float64
}

const (
	unitX, unitY = 52.0, 30.0 // of Grafana's grid, 24 wide
	legendLines  = 5
)

var colours = []string{"#1f77b4", "#d62728", "#2ca02c", "#ff7f0e", "#9467bd", "#8c564b", "#17becf", "#7f7f7f"}

// draw draws the panels where the dashboard has them.
func draw(panels []drawing, from, to time.Time) string {
	height := 0
	for _, d := range panels {
		if bottom := d.panel.GridPos.Y + d.panel.GridPos.H; bottom > height {
			height = bottom
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" font-family="sans-serif" font-size="11">`+"\n", 24*unitX, float64(height)*unitY)
	b.WriteString(`<rect width="100%" height="100%" fill="white"/>` + "\n")
	for _, d := range panels {
		x, y := float64(d.panel.GridPos.X)*unitX, float64(d.panel.GridPos.Y)*unitY
		if d.panel.Type == "row" {
			fmt.Fprintf(&b, `<text x="6" y="%.0f" font-size="15" font-weight="bold">%s</text>`+"\n", y+21, html.EscapeString(d.panel.Title))
			continue
		}
		w, h := float64(d.panel.GridPos.W)*unitX, float64(d.panel.GridPos.H)*unitY
		fmt.Fprintf(&b, `<g transform="translate(%.0f %.0f)"><rect x="3" y="3" width="%.0f" height="%.0f" fill="none" stroke="#ccc"/>`+"\n", x, y, w-6, h-6)
		fmt.Fprintf(&b, `<text x="10" y="20" font-weight="bold">%s</text>`+"\n", html.EscapeString(d.panel.Title))
		d.plot(&b, w, h, from, to)
		b.WriteString("</g>\n")
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func (d *drawing) plot(b *strings.Builder, w, h float64, from, to time.Time) {
	left, top, right, bottom := 62.0, 30.0, w-14, h-30-13*legendLines
	high := 0.0
	for _, line := range d.lines {
		for _, p := range line.points {
			high = math.Max(high, p[1])
		}
	}
	if high == 0 {
		high = 1
	}
	t0, t1 := float64(from.UnixMilli())/1e3, float64(to.UnixMilli())/1e3
	for _, share := range []float64{0, 0.5, 1} {
		y := bottom - (bottom-top)*share
		fmt.Fprintf(b, `<path d="M%.0f %.0fH%.0f" stroke="#eee"/><text x="%.0f" y="%.0f" text-anchor="end" fill="#555">%s</text>`+"\n",
			left, y, right, left-5, y+4, number(high*share, d.panel.FieldConfig.Defaults.Unit))
	}
	fmt.Fprintf(b, `<text x="%.0f" y="%.0f" fill="#555">0 s</text><text x="%.0f" y="%.0f" text-anchor="end" fill="#555">%.0f s</text>`+"\n",
		left, bottom+14, right, bottom+14, t1-t0)
	for i, line := range d.lines {
		colour := colours[i%len(colours)]
		var path strings.Builder
		last := math.Inf(-1)
		for _, p := range line.points {
			step := "L"
			if p[0]-last > 1 { // a gap
				step = "M"
			}
			last = p[0]
			fmt.Fprintf(&path, "%s%.1f %.1f", step, left+(right-left)*(p[0]-t0)/(t1-t0), bottom-(bottom-top)*p[1]/high)
		}
		fmt.Fprintf(b, `<path d="%s" fill="none" stroke="%s" stroke-width="1.5" stroke-linecap="round"/>`+"\n", path.String(), colour)
		if i >= 2*legendLines {
			continue
		}
		x, y := 12+(w-20)/2*float64(i/legendLines), bottom+28+13*float64(i%legendLines)
		name := line.name
		if most := int((w - 40) / 2 / 6.2); len(name) > most && len(d.lines) > legendLines {
			name = name[:most]
		}
		fmt.Fprintf(b, `<rect x="%.0f" y="%.0f" width="8" height="8" fill="%s"/><text x="%.0f" y="%.0f">%s</text>`+"\n", x, y-8, colour, x+12, y, html.EscapeString(name))
	}
}

// number writes a value short, with its unit.
func number(n float64, unit string) string {
	switch unit {
	case "s":
		for _, u := range []struct {
			name string
			size float64
		}{{"s", 1}, {"ms", 1e-3}, {"µs", 1e-6}} {
			if n >= u.size || u.size == 1e-6 {
				return fmt.Sprintf("%.3g %s", n/u.size, u.name)
			}
		}
	case "bytes", "Bps":
		for i, u := range []string{"B", "KiB", "MiB", "GiB"} {
			if size := math.Pow(1024, float64(i)); n < size*1024 {
				return fmt.Sprintf("%.3g %s", n/size, u)
			}
		}
	}
	return fmt.Sprintf("%.3g", n)
}
