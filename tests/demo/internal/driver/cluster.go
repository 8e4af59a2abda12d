package driver

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/bulkhead-wal/bulkhead/tests/demo/internal/node"
	"github.com/bulkhead-wal/bulkhead/tests/demo/internal/wire"
)

// process is one node as its driver holds it.
type process struct {
	id      uint64
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	inMu    sync.Mutex
	ready   chan error // one value: nil or why the node could not start
	answers chan wire.Report
	exited  chan struct{}
}

type cluster struct {
	dir       string
	processes map[uint64]*process
	pages     map[uint64]string // addresses of their metrics, if there are any
	tracker   *Tracker
}

// startCluster starts the nodes and waits until all their groups exist. The ports
// are free ones, but someone else may take one meanwhile: hence a second try.
func startCluster(ctx context.Context, o Options, engine, dir string, t *Tracker) (*cluster, error) {
	var err error
	for try := 0; try < 2; try++ {
		var c *cluster
		if c, err = tryCluster(ctx, o, engine, dir, t); err == nil {
			return c, nil
		}
		c.stop()
	}
	return nil, err
}

func tryCluster(ctx context.Context, o Options, engine, dir string, t *Tracker) (*cluster, error) {
	c := &cluster{dir: dir, processes: map[uint64]*process{}, pages: map[uint64]string{}, tracker: t}
	peers, pages, err := freePorts()
	if err != nil {
		return c, err
	}
	for id := uint64(1); id <= nodes; id++ {
		config := node.Config{
			Engine: engine, ID: id, Groups: o.Groups, FaultGroup: o.FaultGroup, Peers: peers,
			Dir:      filepath.Join(dir, fmt.Sprintf("node%d", id)),
			Writers:  writersPerNode,
			PeriodMS: 1000 * writersPerNode / o.Rate,
			Inject:   o.Injected && id == o.FaultNode,
		}
		if engine == node.EngineBulkhead && o.NoMetrics == nil {
			config.Metrics = pages[id]
			c.pages[id] = pages[id]
		}
		p, err := c.spawn(o.Self, config, filepath.Join(dir, fmt.Sprintf("node%d.log", id)))
		if err != nil {
			return c, err
		}
		c.processes[id] = p
	}
	limit := time.After(startLimit)
	for _, p := range c.processes {
		select {
		case err := <-p.ready:
			if err != nil {
				return c, fmt.Errorf("node %d: %w", p.id, err)
			}
		case <-limit:
			return c, fmt.Errorf("node %d did not start within %v", p.id, startLimit)
		case <-ctx.Done():
			return c, ctx.Err()
		}
	}
	return c, nil
}

func (c *cluster) spawn(self string, config node.Config, logPath string) (*process, error) {
	argument, err := json.Marshal(config)
	if err != nil {
		return nil, err
	}
	log, err := os.Create(logPath)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p := &process{id: config.ID, cmd: exec.Command(self, "node", string(argument)),
		ready: make(chan error, 1), answers: make(chan wire.Report, 4), exited: make(chan struct{})}
	p.cmd.Stderr = log
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go c.read(p, out)
	return p, nil
}

// read takes a node's reports until it ends, and then its exit status.
func (c *cluster) read(p *process, out io.Reader) {
	reader := bufio.NewReader(out)
	for {
		line, err := reader.ReadBytes('\n')
		if err != nil {
			break
		}
		var r wire.Report
		if json.Unmarshal(line, &r) != nil {
			continue
		}
		c.take(p, r)
	}
	err := p.cmd.Wait()
	if err == nil {
		err = errors.New("exit status 0")
	}
	select {
	case p.ready <- err:
	default:
	}
	c.tracker.setExited(p.id, err)
	close(p.exited)
}

func (c *cluster) take(p *process, r wire.Report) {
	switch r.Kind {
	case wire.KindReady:
		p.ready <- nil
	case wire.KindFatal:
		select {
		case p.ready <- errors.New(r.Text):
		default:
		}
	case wire.KindStats:
		c.tracker.addStats(r)
	case wire.KindEvent:
		// Paths are long and all begin alike.
		prefix := filepath.Join(c.dir, fmt.Sprintf("node%d", r.Node), fmt.Sprintf("datapartition_%d", r.Event.Group)) + "/"
		r.Event.Text = strings.ReplaceAll(r.Event.Text, prefix, "")
		r.Event.Cause = strings.ReplaceAll(r.Event.Cause, prefix, "")
		c.tracker.addEvent(Seen{Node: r.Node, Time: time.Unix(0, r.TimeNS), Event: *r.Event})
	case wire.KindPong, wire.KindDump:
		select {
		case p.answers <- r:
		default:
		}
	}
}

// send never blocks for long: the pipe holds far more than all commands together.
// A node that is gone is noticed by its exit, not here.
func (p *process) send(command wire.Command) {
	b, err := json.Marshal(command)
	if err != nil {
		return
	}
	p.inMu.Lock()
	defer p.inMu.Unlock()
	_, _ = p.stdin.Write(append(b, '\n'))
}

func (c *cluster) sendAll(name string) {
	for _, p := range c.processes {
		p.send(wire.Command{Name: name})
	}
}

// ask sends a command to every node and collects the answers that come in time.
func (c *cluster) ask(name string) map[uint64]wire.Report {
	c.sendAll(name)
	answers := map[uint64]wire.Report{}
	limit := time.After(answerLimit)
	for id, p := range c.processes {
		select {
		case r := <-p.answers:
			answers[id] = r
		case <-p.exited:
		case <-limit:
			return answers
		}
	}
	return answers
}

// stop ends all nodes; it returns when they are gone or cannot be ended.
func (c *cluster) stop() {
	if c == nil {
		return
	}
	for _, p := range c.processes {
		_ = p.stdin.Close()
	}
	for _, p := range c.processes {
		select {
		case <-p.exited:
			continue
		case <-time.After(3 * time.Second):
		}
		_ = p.cmd.Process.Kill()
		select {
		case <-p.exited:
		case <-time.After(3 * time.Second):
		}
	}
}

// freePorts reserves loopback ports and lets go of them: two per node for raft, one
// for a page of metrics.
func freePorts() (peers map[uint64][2]string, pages map[uint64]string, err error) {
	peers, pages = map[uint64][2]string{}, map[uint64]string{}
	var held []net.Listener
	defer func() {
		for _, l := range held {
			_ = l.Close()
		}
	}()
	for id := uint64(1); id <= nodes; id++ {
		var three [3]string
		for i := range three {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return nil, nil, err
			}
			held = append(held, l)
			three[i] = l.Addr().String()
		}
		peers[id], pages[id] = [2]string{three[0], three[1]}, three[2]
	}
	return peers, pages, nil
}
