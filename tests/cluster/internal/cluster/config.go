package cluster

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// Volume and owner: letters and digits, more than two.
const (
	Volume = "bulkhead"
	Owner  = "tester"
)

const (
	reservedBytes = 1 << 30 // of a datanode's disk
	totalMemory   = 1 << 30 // what a metanode says it has
	retainLogs    = 20000   // of the master
)

// serverConfig is what CubeFS's own server would be given.
func serverConfig(l Layout, n Node) map[string]any {
	first, dir := firstPort[n.Role], l.Dir(n)
	port := func(step int) string { return fmt.Sprint(first + 10*step) }
	c := map[string]any{
		"role": n.Role, "localIP": n.IP(), "bindIp": true, "listen": port(0), "prof": port(1),
		"logDir": filepath.Join(l.Logs, n.Name()), "logLevel": "warn", "warnLogDir": filepath.Join(dir, "alarms"),
		"masterAddr": []string{Node{Master, 1}.Addr()},
	}
	switch n.Role {
	case Master:
		merge(c, map[string]any{
			"clusterName": "bulkhead", "id": "1", "ip": n.IP(), "peers": "1:" + n.Addr(),
			"heartbeatPort": first + 20, "replicaPort": first + 30, "retainLogs": fmt.Sprint(retainLogs),
			"walDir": filepath.Join(dir, "wal"), "storeDir": filepath.Join(dir, "store"), "metaNodeReservedMem": "67108864",
		})
	case MetaNode:
		merge(c, map[string]any{
			"raftHeartbeatPort": port(2), "raftReplicaPort": port(3), "exporterPort": first + 40, "totalMem": fmt.Sprint(totalMemory),
			"metadataDir": filepath.Join(dir, "meta"), "raftDir": filepath.Join(dir, "raft"),
		})
	case DataNode:
		merge(c, map[string]any{
			"raftHeartbeat": port(2), "raftReplica": port(3), "exporterPort": first + 40, "raftDir": filepath.Join(dir, "raft"),
			"disks": []string{fmt.Sprintf("%s:%d", l.Disk(n), reservedBytes)},
		})
	}
	return c
}

func clientConfig(l Layout) map[string]any {
	return map[string]any{
		"mountPoint": l.Mount(), "volName": Volume, "owner": Owner, "masterAddr": Node{Master, 1}.Addr(),
		"logDir": filepath.Join(l.Logs, "client"), "logLevel": "warn", "profPort": fmt.Sprint(clientProfPort), "locallyProf": "true",
		"exporterEnable": false,
	}
}

func merge(into, from map[string]any) {
	for k, v := range from {
		into[k] = v
	}
}

func writeConfig(path string, c map[string]any) error {
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}
