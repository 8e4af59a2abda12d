package cluster

import (
	"fmt"
	"net/url"
)

// Statuses of partitions and replicas, as CubeFS numbers them.
const (
	ReadOnly    = 1
	ReadWrite   = 2
	Unavailable = -1
)

// StatusName is what CubeFS's command line shows for a status.
func StatusName(status int) string {
	switch status {
	case ReadOnly:
		return "ReadOnly"
	case ReadWrite:
		return "ReadWrite"
	case Unavailable:
		return "Unavailable"
	}
	return fmt.Sprint("status ", status)
}

// ClusterView is what the master says of its nodes.
type ClusterView struct {
	LeaderAddr           string
	MetaNodes, DataNodes []struct {
		Addr       string
		ID         uint64
		IsActive   bool
		IsWritable bool
	}
}

// Replica of a data partition, as the master sees it.
type Replica struct {
	Addr             string
	Status           int
	IsLeader         bool
	TriggerDiskError bool
}

// DataPartition is what the master says of a data partition.
type DataPartition struct {
	PartitionID uint64
	Status      int
	LeaderAddr  string // only in a list
	Hosts       []string
	Replicas    []Replica // not in a list
}

// DataNodeView is what the master says of a datanode.
type DataNodeView struct {
	IsActive bool
	BadDisks []string
}

func masterCall(path string, query url.Values, result any) error {
	return call("http://"+Node{Master, 1}.Addr()+path, query, result)
}

// View asks the master for the nodes.
func View() (v ClusterView, err error) {
	err = masterCall("/admin/getCluster", nil, &v)
	return v, err
}

// DataPartitions asks the master for the volume's data partitions.
func DataPartitions() ([]DataPartition, error) {
	var v struct{ DataPartitions []DataPartition }
	err := masterCall("/client/partitions", url.Values{"name": {Volume}}, &v)
	return v.DataPartitions, err
}

// PartitionView asks the master for one data partition, with its replicas.
func PartitionView(id uint64) (p DataPartition, err error) {
	err = masterCall("/dataPartition/get", url.Values{"id": {fmt.Sprint(id)}}, &p)
	return p, err
}

// NodeView asks the master for a datanode.
func NodeView(n Node) (v DataNodeView, err error) {
	err = masterCall("/dataNode/get", url.Values{"addr": {n.Addr()}}, &v)
	return v, err
}

// MetaPartition is what the master says of a metadata partition.
type MetaPartition struct {
	PartitionID, Start, End uint64
	LeaderAddr              string
	Members                 []string
}

// MetaPartitions asks the master for the volume's metadata partitions.
func MetaPartitions() (partitions []MetaPartition, err error) {
	err = masterCall("/client/metaPartitions", url.Values{"name": {Volume}}, &partitions)
	return partitions, err
}

const (
	volumeGiB    = 30
	partitionGiB = 11 // the master refuses less
)

// createVolume makes the volume, with the master's smallest number of data partitions.
func createVolume() error {
	return masterCall("/admin/createVol", url.Values{
		"name": {Volume}, "owner": {Owner}, "capacity": {fmt.Sprint(volumeGiB)}, "dpSize": {fmt.Sprint(partitionGiB)},
		"replicaNum": {fmt.Sprint(Nodes)}, "volType": {"0"}, "deleteLockTime": {"0"}, "followerRead": {"false"},
	}, nil)
}
