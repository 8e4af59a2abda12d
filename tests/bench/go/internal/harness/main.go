package harness

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"
)

// Open makes the arm of that name, with its files below dir.
type Open func(arm string, workload Workload, dir string) (Arm, error)

// Main is the main function of a program with arms. With -serve it prints "ready" once the log is
// filled and answers every line "slot WORKLOAD SECONDS", of the
// same row, by one line of JSON.
func Main(open Open) {
	arm := flag.String("arm", "", "the system to measure")
	id := flag.String("workload", "B1/4096", "row/[entries x]payload bytes")
	dir := flag.String("dir", "", "an empty directory on the filesystem to measure")
	fill := flag.Uint64("fill", 0, "MiB to append before measuring")
	seconds := flag.Float64("seconds", 1, "how long to measure")
	ops := flag.Uint64("ops", 0, "measure this many appends instead")
	serve := flag.Bool("serve", false, "take slots from standard input")
	flag.Parse()

	err := func() error {
		if *arm == "" || *dir == "" {
			return errors.New("-arm and -dir are needed")
		}
		workload, err := ParseWorkload(*id)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(*dir, 0o700); err != nil {
			return err
		}
		system, err := open(*arm, workload, *dir)
		if err != nil {
			return err
		}
		r := newRunner(system)
		if err := r.fill(*fill << 20); err != nil {
			return err
		}
		if *serve {
			return errors.Join(r.serve(*arm, workload.Durable), system.Close())
		}
		return errors.Join(r.printSlot(*arm, workload, *seconds, *ops), system.Close())
	}()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %s\n", *arm, err)
		os.Exit(1)
	}
}

func (r *runner) serve(arm string, durable bool) error {
	fmt.Println("ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var id string
		var seconds float64
		if _, err := fmt.Sscanf(lines.Text(), "slot %s %g", &id, &seconds); err != nil {
			return fmt.Errorf("not a command: %q", lines.Text())
		}
		workload, err := ParseWorkload(id)
		if err != nil {
			return err
		}
		if workload.Durable != durable {
			return fmt.Errorf("this arm was opened for the other row than %s", id)
		}
		if err := r.printSlot(arm, workload, seconds, 0); err != nil {
			return err
		}
	}
	return nil
}

func (r *runner) printSlot(arm string, workload Workload, seconds float64, ops uint64) error {
	measured, err := r.slot(workload, time.Duration(seconds*float64(time.Second)), ops)
	if err != nil {
		return err
	}
	measured.Arm = arm
	return json.NewEncoder(os.Stdout).Encode(measured)
}
