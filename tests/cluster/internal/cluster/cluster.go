package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Cluster is a running cluster.
type Cluster struct {
	Layout    Layout     `json:"layout"`
	Choice    Choice     `json:"choice"`
	Processes []*Process `json:"processes"` // servers, then the client
}

const (
	stopLimit = 5 * time.Second // CubeFS's master does not end on SIGTERM
	client    = "client"
	// commandLimit of CubeFS's command line, in seconds.
	commandLimit = 60
)

// New prepares the directories of a cluster. What an earlier one left there is removed, unless it still runs, or cannot be told.
func New(l Layout, choice Choice) (*Cluster, error) {
	old, err := Open(l)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err == nil {
		for _, p := range old.Processes {
			if p.Alive() {
				return nil, fmt.Errorf("a cluster is running already (%s is process %d): make cluster-stop ends it", p.Name, p.PID)
			}
		}
		if err := old.Stop(); err != nil {
			return nil, err
		}
	}
	for _, dir := range []string{l.Run, l.Logs} {
		if err := os.RemoveAll(dir); err != nil {
			return nil, err
		}
	}
	return Resume(l, choice)
}

// Resume takes what is in the directories as it is: a stopped cluster goes on.
func Resume(l Layout, choice Choice) (*Cluster, error) {
	c := &Cluster{Layout: l, Choice: choice}
	return c, c.prepare()
}

func (c *Cluster) prepare() error {
	dirs := []string{c.Layout.Mount(), c.Layout.Logs}
	for _, n := range Servers() {
		dirs = append(dirs, c.Layout.Dir(n))
		if n.Role == DataNode {
			dirs = append(dirs, c.Layout.Disk(n))
		}
	}
	for _, dir := range dirs {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	for _, n := range Servers() {
		if err := writeConfig(c.Layout.config(n.Name()), serverConfig(c.Layout, n)); err != nil {
			return err
		}
	}
	if err := writeConfig(filepath.Join(c.Layout.Run, ".cfs-cli.json"), map[string]any{
		"masterAddr": []string{Node{Master, 1}.Addr()}, "timeout": commandLimit,
	}); err != nil {
		return err
	}
	return writeConfig(c.Layout.config(client), clientConfig(c.Layout))
}

// Open finds the cluster that runs in a layout. fs.ErrNotExist: none does, as far as its mount can tell.
func Open(l Layout) (*Cluster, error) {
	text, err := os.ReadFile(l.state())
	c := &Cluster{}
	if err == nil {
		err = json.Unmarshal(text, c)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist) && !l.mounted():
		return nil, err
	case err != nil: // not wrapped: it is no cluster that does not exist
		return nil, fmt.Errorf("what runs in %s cannot be told: %v. End those processes, umount %s if it is mounted, and remove the directory",
			l.Run, err, l.Mount())
	}
	return c, nil
}

func (c *Cluster) save() error {
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	return ReplaceFile(c.Layout.state(), append(text, '\n'))
}

// StartServer starts one server process, for the first time or again.
func (c *Cluster) StartServer(n Node) error {
	policy, err := c.Choice.environment()
	if err != nil {
		return err
	}
	program := "server"
	if c.Choice.Engine == EngineCubeFSSync {
		program = "server-sync"
	}
	return c.launch(n.Name(), []string{policy}, program, "-c", c.Layout.config(n.Name()))
}

func (c *Cluster) launch(name string, env []string, program string, args ...string) error {
	return c.Attach(name, env, filepath.Join(c.Layout.Programs, program), args...)
}

// Attach starts a process that belongs to the cluster and is stopped with it.
func (c *Cluster) Attach(name string, env []string, program string, args ...string) error {
	p, err := start(name, c.Layout.output(name), env, program, args...)
	if err != nil {
		return err
	}
	for i, old := range c.Processes {
		if old.Name == name {
			c.Processes[i] = p
			return c.save()
		}
	}
	c.Processes = append(c.Processes, p)
	return c.save()
}

// Process finds one by name; nil if it was never started.
func (c *Cluster) Process(name string) *Process {
	for _, p := range c.Processes {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// Alive counts the server processes that run.
func (c *Cluster) Alive() (alive int) {
	for _, n := range Servers() {
		if p := c.Process(n.Name()); p != nil && p.Alive() {
			alive++
		}
	}
	return alive
}

// ended names the server processes that do not run any more, with their last words.
func (c *Cluster) ended() error {
	var errs []error
	for _, n := range Servers() {
		if p := c.Process(n.Name()); p != nil && !p.Alive() {
			errs = append(errs, fmt.Errorf("%s has ended; the end of %s (more in %s):\n%s", n.Name(), c.Layout.output(n.Name()),
				filepath.Join(c.Layout.Logs, n.Name()), lastLines(c.Layout.output(n.Name()))))
		}
	}
	return errors.Join(errs...)
}

// Stop ends everything and removes what it wrote, except the logs. The client goes first: who hangs in its mount is freed by that.
func (c *Cluster) Stop() error {
	errs := []error{c.Unmount(), c.StopServers()}
	for _, p := range c.Processes {
		errs = append(errs, p.Stop(stopLimit)) // those that were attached; the others have gone
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return os.RemoveAll(c.Layout.Run)
}

// StopServers ends the server processes, datanodes first and the master last.
func (c *Cluster) StopServers() error {
	var errs []error
	nodes := Servers()
	for i := len(nodes) - 1; i >= 0; i-- {
		if p := c.Process(nodes[i].Name()); p != nil {
			p.Signal(sigTerm)
		}
	}
	for i := len(nodes) - 1; i >= 0; i-- {
		if p := c.Process(nodes[i].Name()); p != nil {
			errs = append(errs, p.Stop(stopLimit))
		}
	}
	return errors.Join(errs...)
}
