module github.com/bulkhead-wal/bulkhead/tests/datanode

go 1.23.0

require (
	github.com/bulkhead-wal/bulkhead/go v0.0.0
	github.com/bulkhead-wal/bulkhead/go/cubefs v0.0.0
	github.com/bulkhead-wal/bulkhead/go/cubefs/exporter v0.0.0
	github.com/bulkhead-wal/bulkhead/tests/faults v0.0.0
	github.com/cubefs/cubefs v1.34.0
)

require (
	github.com/armon/go-metrics v0.4.1 // indirect
	github.com/beorn7/perks v1.0.1 // indirect
	github.com/brahma-adshonor/gohook v1.1.9 // indirect
	github.com/bulkhead-wal/bulkhead/go/metrics v0.0.0 // indirect
	github.com/cespare/xxhash/v2 v2.1.2 // indirect
	github.com/edsrzf/mmap-go v1.1.0 // indirect
	github.com/fatih/color v1.15.0 // indirect
	github.com/go-ole/go-ole v1.2.6 // indirect
	github.com/golang/protobuf v1.5.2 // indirect
	github.com/google/btree v1.0.1 // indirect
	github.com/google/uuid v1.3.0 // indirect
	github.com/gorilla/mux v1.8.0 // indirect
	github.com/hanwen/go-fuse/v2 v2.12.1 // indirect
	github.com/hashicorp/consul/api v1.15.2 // indirect
	github.com/hashicorp/go-cleanhttp v0.5.2 // indirect
	github.com/hashicorp/go-hclog v1.5.0 // indirect
	github.com/hashicorp/go-immutable-radix v1.3.1 // indirect
	github.com/hashicorp/go-rootcerts v1.0.2 // indirect
	github.com/hashicorp/golang-lru v0.5.4 // indirect
	github.com/hashicorp/serf v0.10.1 // indirect
	github.com/inconshreveable/mousetrap v1.0.0 // indirect
	github.com/jacobsa/daemonize v0.0.0-20160101105449-e460293e890f // indirect
	github.com/julienschmidt/httprouter v1.3.0 // indirect
	github.com/mattn/go-colorable v0.1.13 // indirect
	github.com/mattn/go-isatty v0.0.18 // indirect
	github.com/matttproud/golang_protobuf_extensions v1.0.1 // indirect
	github.com/mitchellh/go-homedir v1.1.0 // indirect
	github.com/mitchellh/mapstructure v1.5.0 // indirect
	github.com/opentracing/opentracing-go v1.2.0 // indirect
	github.com/prometheus/client_golang v1.13.0 // indirect
	github.com/prometheus/client_model v0.2.0 // indirect
	github.com/prometheus/common v0.37.0 // indirect
	github.com/prometheus/procfs v0.8.0 // indirect
	github.com/shirou/gopsutil v3.21.11+incompatible // indirect
	github.com/spf13/cobra v1.2.1 // indirect
	github.com/spf13/pflag v1.0.5 // indirect
	github.com/tklauser/go-sysconf v0.3.11 // indirect
	github.com/tklauser/numcpus v0.6.0 // indirect
	github.com/xtaci/smux v1.5.16 // indirect
	github.com/yusufpapurcu/wmi v1.2.3 // indirect
	golang.org/x/arch v0.0.0-20190312162104-788fe5ffcd8c // indirect
	golang.org/x/sync v0.10.0 // indirect
	golang.org/x/sys v0.30.0
	golang.org/x/time v0.0.0-20211116232009-f0f3c7e86c11 // indirect
	google.golang.org/protobuf v1.28.1 // indirect
	gopkg.in/natefinch/lumberjack.v2 v2.0.0 // indirect
)

replace (
	github.com/bulkhead-wal/bulkhead/go => ../../go
	github.com/bulkhead-wal/bulkhead/go/cubefs => ../../go/cubefs
	github.com/bulkhead-wal/bulkhead/go/cubefs/exporter => ../../go/cubefs/exporter
	github.com/bulkhead-wal/bulkhead/go/metrics => ../../go/metrics
	github.com/bulkhead-wal/bulkhead/tests/faults => ../faults
	github.com/cubefs/cubefs => ../../target/datanode/cubefs
)
