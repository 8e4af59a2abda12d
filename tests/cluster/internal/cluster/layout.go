// Package cluster starts, watches and stops a CubeFS cluster on this machine: one master, three metanodes, three datanodes and
// a FUSE mount, on loopback addresses only.
package cluster

import (
	"fmt"
	"path/filepath"
)

// Nodes is how many metanodes and how many datanodes there are. A partition has as many replicas.
const Nodes = 3

// Roles of a server process.
const (
	Master   = "master"
	MetaNode = "metanode"
	DataNode = "datanode"
)

// Ports. Peers know each other by address only, so all nodes of a role have the same ones.
const (
	masterPort     = 17010
	clientProfPort = 17410
)

// ports of a role: the first is its own, the others follow in steps of 10: profiling, raft heartbeat, raft replication, metrics.
var firstPort = map[string]int{Master: masterPort, MetaNode: 17210, DataNode: 17310}

// Node is one server process.
type Node struct {
	Role   string
	Number int // 1 to Nodes; 1 for the master
}

// Servers are the seven processes, in the order in which they are started.
func Servers() []Node {
	nodes := []Node{{Master, 1}}
	for _, role := range []string{MetaNode, DataNode} {
		for i := 1; i <= Nodes; i++ {
			nodes = append(nodes, Node{role, i})
		}
	}
	return nodes
}

// Name is unique: master, metanode1, datanode3.
func (n Node) Name() string {
	if n.Role == Master {
		return Master
	}
	return fmt.Sprintf("%s%d", n.Role, n.Number)
}

// IP is the loopback address it listens on.
func (n Node) IP() string {
	if n.Role == Master {
		return "127.0.0.1"
	}
	return fmt.Sprintf("127.0.0.%d", 10+n.Number)
}

// Addr is what the others know it by.
func (n Node) Addr() string { return fmt.Sprintf("%s:%d", n.IP(), firstPort[n.Role]) }

// ProfURL is where its own HTTP calls are served.
func (n Node) ProfURL() string { return fmt.Sprintf("http://%s:%d", n.IP(), firstPort[n.Role]+10) }

// MetricsAddr is host and port of its page of metrics.
func (n Node) MetricsAddr() string {
	if n.Role == Master {
		return n.Addr()
	}
	return fmt.Sprintf("%s:%d", n.IP(), firstPort[n.Role]+40)
}

// MetricsURL is where its metrics are served.
func (n Node) MetricsURL() string {
	return "http://" + n.MetricsAddr() + "/metrics"
}

// NodeOfAddr finds the node of a role by its address.
func NodeOfAddr(role, addr string) (Node, bool) {
	for _, n := range Servers() {
		if n.Role == role && n.Addr() == addr {
			return n, true
		}
	}
	return Node{}, false
}

// Layout says where the files of a cluster are.
type Layout struct {
	Programs string // directory with server, client, cli
	Run      string // everything the nodes write; removed when the cluster is stopped
	Logs     string // kept
}

// Dir is a node's own directory.
func (l Layout) Dir(n Node) string { return filepath.Join(l.Run, n.Name()) }

// Disk is the directory that a datanode takes for a disk.
func (l Layout) Disk(n Node) string { return filepath.Join(l.Dir(n), "disk") }

// Mount is where the volume is mounted.
func (l Layout) Mount() string { return filepath.Join(l.Run, "mnt") }

func (l Layout) config(name string) string { return filepath.Join(l.Run, name+".json") }
func (l Layout) output(name string) string { return filepath.Join(l.Logs, name+".log") }
func (l Layout) state() string             { return filepath.Join(l.Run, "processes.json") }
