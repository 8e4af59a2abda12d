package cluster

import (
	"fmt"
	"net/url"
	"time"
)

// LocalPartition is what a datanode says of a partition of its own.
type LocalPartition struct {
	ID     uint64 `json:"id"`
	Status int    `json:"status"`
	Path   string `json:"path"`
}

// LocalPartitions asks a datanode for its partitions.
func LocalPartitions(n Node) ([]LocalPartition, error) {
	var v struct {
		Partitions []LocalPartition `json:"partitions"`
	}
	err := call(n.ProfURL()+"/partitions", nil, &v)
	return v.Partitions, err
}

// Reload has a datanode stop a partition and open it again, with the log that its policy says.
func Reload(n Node, partition uint64) error {
	return call(n.ProfURL()+"/reloadDataPartition", url.Values{"id": {fmt.Sprint(partition)}}, nil)
}

// ChangeLeader asks the master to have a datanode lead a data partition. Whether it does is to be looked for.
func ChangeLeader(to Node, partition uint64) error {
	return masterCall("/dataPartition/changeleader", url.Values{"id": {fmt.Sprint(partition)}, "addr": {to.Addr()}}, nil)
}

// RaftStatus of a group, as one node sees it.
type RaftStatus struct {
	NodeID, Leader, Term, Index, Commit, Applied uint64
	PendQueue                                    int
	Stopped                                      bool
	State                                        string
	Replicas                                     map[string]struct {
		Match  uint64
		Active bool
		State  string
	}
}

// Raft asks a datanode for the raft group of a partition. A dead group may not answer.
func Raft(n Node, partition uint64) (s RaftStatus, err error) {
	err = call(n.ProfURL()+"/raftStatus", url.Values{"raftID": {fmt.Sprint(partition)}}, &s)
	return s, err
}

// FirstFault is when Bulkhead first met a fault under a log of a node, at a moment or later; false if it did not.
func FirstFault(n Node, partition uint64, since time.Time) (first time.Time, ok bool) {
	var faults []struct {
		Partition uint64 `json:"partition"`
		UnixNS    int64  `json:"unix_ns"`
	}
	if call(n.ProfURL()+"/faults", nil, &faults) != nil {
		return first, false // a stock server has no such call
	}
	for _, f := range faults { // in their order
		if at := time.Unix(0, f.UnixNS); f.Partition == partition && !at.Before(since) {
			return at, true
		}
	}
	return first, false
}

// Extent is a piece of a file: Size bytes at FileOffset lie at ExtentOffset of an extent of a data partition.
type Extent struct {
	FileOffset, ExtentOffset int64
	PartitionID              uint64 `json:"PartitionId"`
	ExtentID                 uint64 `json:"ExtentId"`
	Size                     int64
}

// Extents asks the metanodes where an inode's data lies.
func Extents(inode uint64) ([]Extent, error) {
	partitions, err := MetaPartitions()
	if err != nil {
		return nil, err
	}
	for _, p := range partitions {
		if inode < p.Start || inode > p.End {
			continue
		}
		node, ok := NodeOfAddr(MetaNode, p.LeaderAddr)
		if !ok {
			return nil, fmt.Errorf("metadata partition %d has no leader", p.PartitionID)
		}
		var v struct {
			Extents []Extent `json:"eks"`
		}
		query := url.Values{"pid": {fmt.Sprint(p.PartitionID)}, "ino": {fmt.Sprint(inode)}}
		err := call(node.ProfURL()+"/getExtentsByInode", query, &v)
		return v.Extents, err
	}
	return nil, fmt.Errorf("no metadata partition has inode %d", inode)
}
