// Command server is one process of a CubeFS cluster: master, metanode or datanode, CubeFS's own code with its log kept by the
// engine that the configuration names. It does what CubeFS's own main does (cmd/cmd.go), except that it stays in the
// foreground, listens on its own address only, and takes the descriptors it gets instead of insisting on 1,024,000.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/cubefs/cubefs/cmd/common"
	"github.com/cubefs/cubefs/datanode"
	"github.com/cubefs/cubefs/master"
	"github.com/cubefs/cubefs/metanode"
	"github.com/cubefs/cubefs/proto"
	"github.com/cubefs/cubefs/util/auditlog"
	"github.com/cubefs/cubefs/util/config"
	"github.com/cubefs/cubefs/util/log"
	"github.com/cubefs/cubefs/util/ump"
)

const logLeftSpaceRatio = 0.05

// The names CubeFS gives to its log directories.
var modules = map[string]string{"master": "master", "metanode": "metaNode", "datanode": "dataNode"}

func main() {
	path := flag.String("c", "", "the configuration file, as CubeFS's own server takes it")
	flag.Parse()
	if err := run(*path); err != nil {
		log.LogFlush()
		fmt.Fprintln(os.Stderr, "server:", err)
		os.Exit(1)
	}
}

func run(path string) error {
	cfg, err := config.LoadConfigFile(path)
	if err != nil {
		return fmt.Errorf("cannot read the configuration %q: %w", path, err)
	}
	role := cfg.GetString("role")
	server, err := newServer(role)
	if err != nil {
		return err
	}
	if err := startLogs(cfg, modules[role]); err != nil {
		return err
	}
	defer log.LogFlush()
	defer auditlog.StopAudit()
	proto.InitBufferPool(cfg.GetInt64("buffersTotalLimit"))
	raiseDescriptors()
	if err := ump.InitUmp(role, cfg.GetString("warnLogDir")); err != nil {
		return fmt.Errorf("cannot start CubeFS's alarms: %w", err)
	}
	if err := serveHTTP(role, cfg); err != nil {
		return err
	}
	shutdownOnSignal(server)
	if err := server.Start(cfg); err != nil {
		return fmt.Errorf("the %s does not start: %w", role, err)
	}
	fmt.Printf("%s started, process %d\n", role, os.Getpid())
	log.LogDisableStderrOutput()
	server.Sync()
	return nil
}

func newServer(role string) (common.Server, error) {
	switch role {
	case "master":
		return master.NewServer(), nil
	case "metanode":
		return metanode.NewServer(), nil
	case "datanode":
		return datanode.NewServer(), nil
	}
	return nil, fmt.Errorf("role %q; it must be master, metanode or datanode", role)
}

func startLogs(cfg *config.Config, module string) error {
	levels := map[string]log.Level{
		"debug": log.DebugLevel, "info": log.InfoLevel, "warn": log.WarnLevel, "error": log.ErrorLevel, "critical": log.CriticalLevel,
	}
	name := cfg.GetString("logLevel")
	level, known := levels[name]
	if !known {
		return fmt.Errorf("logLevel %q; it must be debug, info, warn, error or critical", name)
	}
	dir := cfg.GetString("logDir")
	if _, err := log.InitLog(dir, module, level, log.NewLogRotate(), logLeftSpaceRatio); err != nil {
		return fmt.Errorf("cannot start the log in %s: %w", dir, err)
	}
	if _, err := auditlog.InitAudit(dir, module, auditlog.DefaultAuditLogSize); err != nil {
		return fmt.Errorf("cannot start the audit log in %s: %w", dir, err)
	}
	return nil
}

func raiseDescriptors() {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) == nil {
		limit.Cur = limit.Max
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit) // what we have is enough for a small cluster
	}
}

func shutdownOnSignal(server common.Server) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		for range signals {
			server.Shutdown()
		}
	}()
}
