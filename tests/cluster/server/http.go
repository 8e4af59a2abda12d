package main

import (
	"fmt"
	"net"
	"net/http"
	_ "net/http/pprof" // on http.DefaultServeMux, which the profiling port serves

	_ "github.com/bulkhead-wal/bulkhead/go/cubefs/exporter" // what Bulkhead counts is on the page of CubeFS's exporter
	"github.com/cubefs/cubefs/util/config"
	"github.com/cubefs/cubefs/util/exporter"
	"github.com/cubefs/cubefs/util/log"
	"github.com/gorilla/mux"
)

// serveHTTP starts the profiling port, on which datanode and metanode also answer their own calls, and /metrics on the
// exporter port. CubeFS's main opens both on all addresses of the machine; here several nodes share one machine, so they are
// opened on the node's own address. exporter.InitWithRouter is exporter.Init without a listener of its own. The master serves
// /metrics on its API port by itself.
func serveHTTP(role string, cfg *config.Config) error {
	ip := cfg.GetString("localIP")
	http.HandleFunc(log.SetLogLevelPath, log.SetLogLevel)
	if err := listenAndServe(ip, cfg.GetString("prof"), http.DefaultServeMux); err != nil {
		return err
	}
	if role == "master" {
		return nil
	}
	port := fmt.Sprint(cfg.GetInt64(exporter.ConfigKeyExporterPort))
	router := mux.NewRouter()
	exporter.InitWithRouter(role, cfg, router, port)
	return listenAndServe(ip, port, router)
}

func listenAndServe(ip, port string, handler http.Handler) error {
	listener, err := net.Listen("tcp", net.JoinHostPort(ip, port))
	if err != nil {
		return err
	}
	go func() { log.LogErrorf("http %v: %v", listener.Addr(), http.Serve(listener, handler)) }()
	return nil
}
