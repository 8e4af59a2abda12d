package datanode

import (
	"encoding/json"
	"net"
	"net/http"

	"github.com/cubefs/cubefs/proto"
)

// startMaster stands in for the master, which a datanode needs to start: it says
// yes to everything. What the datanode tells it is not tested here.
func startMaster() (address string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	answers := map[string]interface{}{
		proto.AdminGetIP:             proto.ClusterInfo{Cluster: "test", Ip: localIP},
		proto.AddDataNode:            nodeID,
		proto.GetDataNode:            proto.DataNodeInfo{},
		proto.AdminGetAllVersionInfo: proto.VolVersionInfoList{},
	}
	go func() {
		_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { // it ends with the process
			answer, ok := answers[r.URL.Path]
			if !ok {
				answer = struct{}{}
			}
			_ = json.NewEncoder(w).Encode(proto.HTTPReply{Code: proto.ErrCodeSuccess, Data: answer})
		}))
	}()
	return l.Addr().String(), nil
}
