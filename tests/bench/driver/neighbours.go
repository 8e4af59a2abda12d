package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/bulkhead-wal/bulkhead/tests/faults/badblocks"
	"github.com/bulkhead-wal/bulkhead/tests/faults/disk"
)

// The arms of row B9: two without a fault, whose difference is what chance does, one in which the first partition meets it, and one in
// which somebody else on the same filesystem does.
const (
	controlArm = "control"
	secondArm  = "control-again"
	faultArm   = "bulkhead"
	outsideArm = "outside"
)

const (
	stackBytes = 2 << 30 // of the image; it is sparse
	ruleName   = "bad"
	eio        = 5
	fillTries  = 8
)

// stack is an ext4 on a loop device over an image behind FUSE, with 64 partitions on it, all in one process.
type stack struct {
	server *badblocks.Process
	disk   *disk.Mounted
	load   *process
	dir    string
	kept   string // second names of the first partition's files
	full   bool

	outsider *outsider
}

// missingForFaults says why no fault can be made here; empty if it can.
func missingForFaults() string {
	switch {
	case os.Geteuid() != 0:
		return "root, to mount filesystems on loop devices"
	case !exists("/dev/loop-control"):
		return "/dev/loop-control: the kernel needs loop devices (modprobe loop)"
	case !exists("/dev/fuse"):
		return "/dev/fuse: the kernel needs FUSE (modprobe fuse)"
	}
	return ""
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func newStack(s settings, workload string) (*stack, error) {
	dir, err := os.MkdirTemp(s.faultDir, "b9-")
	if err != nil {
		return nil, err
	}
	image := filepath.Join(dir, "image")
	if err := disk.Make("ext4", image, stackBytes); err != nil {
		return nil, err
	}
	k := &stack{dir: dir, kept: filepath.Join(dir, "disk", "kept")}
	if k.server, err = badblocks.Start(filepath.Join(s.programDir, "badblocks"), image, filepath.Join(dir, "bad")); err != nil {
		return nil, err
	}
	if k.disk, err = disk.Mount("ext4", k.server.Image, filepath.Join(dir, "disk"), disk.Options{DirectIO: true}); err == nil {
		k.load, err = startArm(filepath.Join(s.programDir, rustArms), faultArm, workload, k.disk.Dir, 0)
	}
	if err != nil {
		k.close()
		return nil, err
	}
	return k, nil
}

func (k *stack) close() {
	_ = k.lift() // what hangs would keep the process from ending
	if k.load != nil {
		k.load.stop()
	}
	if k.disk != nil {
		_ = k.disk.Unmount()
	}
	_ = k.server.Close()
	_ = os.RemoveAll(k.dir)
}

// impose makes the fault for one arm. In all others the disk has to look for it at each write as well, and never finds it: that costs
// processor time, which the controls have to pay, too.
func (k *stack) impose(fault, arm string, buffered bool) error {
	rule := badblocks.Rule{Name: ruleName, Op: badblocks.OpWrite}
	switch fault {
	case "eio":
		rule.Action, rule.Errno = badblocks.ActionFail, eio
	case "hang":
		rule.Action = badblocks.ActionHang
	}
	switch fault {
	case "eio", "hang":
		if err := k.failFirst(rule, arm == faultArm); err != nil || arm != outsideArm {
			return err
		}
		return k.startOutsider(rule, buffered)
	case "quota":
		if arm != faultArm {
			return nil
		}
		return k.load.ready("quota", slotTimeout)
	case "nospace":
		if arm != faultArm {
			return nil
		}
		k.full = true
		if err := k.fill(); err != nil {
			return err
		}
		// The others go round in the files they have.
		if err := k.load.ready("exhaust", slotTimeout); err != nil {
			return err
		}
		return k.fill()
	}
	return fmt.Errorf("no fault is called %q", fault)
}

// onDisk tells whether the disk makes the fault, by failing blocks.
func onDisk(fault string) bool { return fault == "eio" || fault == "hang" }

// fill fills the filesystem: again while its users give space back, which a later commit of the journal frees.
func (k *stack) fill() (err error) {
	for try := 0; try < fillTries; try++ {
		if _, err = k.disk.Fill(); err == nil {
			return nil
		}
	}
	return err
}

// failFirst puts a rule on all blocks of the first partition's files, and on the files it makes later: every segment begins with
// the incarnation, which the root has at this place (docs/format.md).
func (k *stack) failFirst(rule badblocks.Rule, real bool) error {
	dir := filepath.Join(k.disk.Dir, "p1")
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		return err
	}
	// Blocks that the partition lets go of must not become those of its neighbours.
	if err := os.Mkdir(k.kept, 0o700); err != nil {
		return err
	}
	var pieces []disk.Extent // all of them first: with a rule in force the filesystem may not answer
	for _, path := range names {
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
			continue
		}
		kept := filepath.Join(k.kept, filepath.Base(path))
		if err := os.Link(path, kept); errors.Is(err, os.ErrNotExist) {
			continue // housekeeping has removed it meanwhile
		} else if err != nil {
			return err
		}
		extents, err := disk.Extents(kept, k.disk.Kind)
		if err != nil {
			return err
		}
		pieces = append(pieces, extents...)
	}
	const at, length = 32, 16
	root, err := os.ReadFile(filepath.Join(dir, "root"))
	if err != nil || len(root) < at+length {
		return fmt.Errorf("the first partition's root cannot be read: %w", err)
	}
	match := root[at : at+length]
	if !real {
		match = make([]byte, length)
		_, _ = rand.Read(match) // never fails
		rule.Match = match
	}
	for _, x := range pieces {
		rule.First, rule.Length = x.Image, x.Length
		if err := k.rule(rule); err != nil {
			return err
		}
	}
	rule.First, rule.Length, rule.Match = 0, 0, match
	return k.rule(rule)
}

func (k *stack) rule(r badblocks.Rule) error {
	_, err := k.server.Do(badblocks.Command{Do: "add", Rule: &r})
	return err
}

// hits is how many requests have met the fault so far.
func (k *stack) hits() (int, error) {
	reply, err := k.server.Do(badblocks.Command{Do: "hits"})
	return reply.Hits[ruleName], err
}

// lift takes the fault away, and what it left behind.
func (k *stack) lift() error {
	_, err := k.server.Do(badblocks.Command{Do: "remove", Name: ruleName})
	if k.outsider != nil {
		k.outsider.end()
		k.outsider = nil
	}
	err = errors.Join(err, os.RemoveAll(k.kept))
	if k.full {
		k.full = false
		err = errors.Join(err, k.disk.Drain())
	}
	return err
}

// measureNeighbours gives the arms slots in turn, all on one stack: what differs is the fault alone.
func measureNeighbours(r row, workloads []workload, s settings) ([]outcome, error) {
	if missing := missingForFaults(); missing != "" {
		fmt.Printf("\n%s is not measured: it needs %s\n", r.id, missing)
		return nil, nil
	}
	var outcomes []outcome
	for _, w := range workloads {
		if w.fullOnly && !s.everyArm {
			continue
		}
		o := outcome{row: r, workload: w}
		for _, a := range r.arms {
			if _, fault, _ := strings.Cut(w.id, "-"); a.name == outsideArm && !onDisk(fault) {
				continue
			}
			o.arms = append(o.arms, &measured{arm: a, latency: histogram{}})
		}
		if err := measureFault(o, s); err != nil {
			for _, m := range o.arms {
				m.failure = err
			}
		}
		outcomes = append(outcomes, o)
	}
	return outcomes, nil
}

func measureFault(o outcome, s settings) error {
	s.progress.step(o.workload.id + ": 64 partitions")
	k, err := newStack(s, o.workload.id)
	if err != nil {
		return err
	}
	defer k.close()
	_, fault, _ := strings.Cut(o.workload.id, "-")
	fault, unthrottled := strings.CutSuffix(fault, "-no-wbt")
	if unthrottled {
		// The kernel's throttling of writeback lets flushes wait for buffered writes of others.
		limit := filepath.Join("/sys/block", filepath.Base(k.disk.Device), "queue/wbt_lat_usec")
		if err := os.WriteFile(limit, []byte("0"), 0); err != nil {
			return err
		}
	}
	for round := -1; round < s.rounds; round++ { // round -1 warms up
		for turn := range o.arms {
			m := o.arms[(turn+round+1)%len(o.arms)]
			s.progress.step(fmt.Sprintf("%s round %d/%d %s", o.workload.id, round+1, s.rounds, m.arm.name))
			report, err := k.slot(o.workload.id, fault, m.arm.name, s.faultSlot)
			if err != nil {
				return err
			}
			if round >= 0 {
				m.values = append(m.values, report.Value)
				m.p99s = append(m.p99s, report.P99Micros)
				m.latency.add(report.Histogram)
				m.refused += report.Refused
			}
		}
	}
	return nil
}

// slot measures the 63, with the fault as the arm has it.
func (k *stack) slot(workload, fault, arm string, length time.Duration) (slotReport, error) {
	faulted := arm == faultArm || arm == outsideArm
	before, err := k.hits()
	if err == nil {
		err = k.impose(fault, arm, strings.HasPrefix(workload, "B9/none"))
	}
	if err != nil {
		return slotReport{}, err
	}
	if err := k.load.begin(workload, length); err != nil {
		return slotReport{}, err
	}
	// Not after the report: a call of the others that hangs as well would keep it for good.
	time.Sleep(length)
	after, hitsErr := k.hits()
	liftErr := k.lift()
	report, err := k.load.report(length)
	if err := errors.Join(err, hitsErr, liftErr); err != nil {
		return report, err
	}
	if faulted && onDisk(fault) && after == before {
		return report, errors.New("the fault was not met")
	}
	return report, k.load.ready("whole", slotTimeout)
}

// p99InRange says whether the rounds' median p99 is one that a round without a fault has as well.
func (o outcome) p99InRange(m *measured) string {
	var controls []float64
	for _, other := range o.arms {
		if other.arm.name == controlArm || other.arm.name == secondArm {
			controls = append(controls, other.p99s...)
		}
	}
	low, high := extremes(controls)
	word := "in the range"
	if median(m.p99s) > high {
		word = "above the range"
	}
	return fmt.Sprintf("p99 %.0f us %s %.0f-%.0f", median(m.p99s), word, low, high)
}
