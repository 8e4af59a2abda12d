package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/bulkhead-wal/bulkhead/tests/cluster/internal/bench"
	"github.com/bulkhead-wal/bulkhead/tests/cluster/internal/build"
	"github.com/bulkhead-wal/bulkhead/tests/cluster/internal/cluster"
	"github.com/bulkhead-wal/bulkhead/tests/cluster/internal/demo"
)

var errNotKept = errors.New("not everything that is demanded of Bulkhead was kept")

// runDemo runs the scenarios of SCENARIO (all) with the engines of ENGINE (both), separated by commas.
func runDemo(p build.Paths, engines, scenarios string, arguments []string) error {
	selected, err := demo.Find(scenarios)
	if err != nil {
		return err
	}
	suite := demo.Suite{Places: places(p), Scenarios: selected, Arguments: arguments}
	for _, engine := range strings.Split(engines, ",") {
		choice := cluster.Choice{Engine: engine, Mode: env("MODE", "sync")}
		if err := choice.Check(); err != nil {
			return err
		}
		suite.Choices = append(suite.Choices, choice)
	}
	lock, err := claim(p, "demo")
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := prepare(p); err != nil {
		return err
	}
	results, err := suite.Run()
	text, kept := demo.Summary(results)
	fmt.Printf("\n%s", text)
	if e := demo.SaveResults(filepath.Join(p.Base, "results.json"), results); err == nil {
		err = e
	}
	if err == nil && !kept {
		err = errNotKept
	}
	return err
}

func places(p build.Paths) demo.Places {
	return demo.Places{Programs: p.Programs(), Base: p.Base, Rules: filepath.Join(p.Root, "monitoring")}
}

// inside runs what demo and bench run in namespaces: template <engine> <mode>, arm <writers> <engine> <mode>, one <scenario>
// <engine> <mode>.
func inside(p build.Paths, args []string) error {
	choice := cluster.Choice{Engine: args[len(args)-2], Mode: args[len(args)-1]}
	if args[0] == demo.CommandTemplate {
		return demo.Template(places(p), choice, func(what string) { fmt.Println("   waiting until", what) })
	}
	if args[0] == commandArm {
		writers, err := strconv.Atoi(args[1])
		if err != nil {
			return err
		}
		return bench.Arm(places(p).Arm(choice), choice, writers)
	}
	selected, err := demo.Find(args[1])
	if err != nil {
		return err
	}
	return demo.One(places(p), choice, selected[0])
}
