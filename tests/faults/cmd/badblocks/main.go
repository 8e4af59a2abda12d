// Command badblocks serves a disk image through FUSE, as a disk that fails where it is told to. Commands come on standard
// input, one JSON object a line; each gets one line of JSON on standard output. At its end it unmounts and exits.
//
//	truncate -s 128M disk.img && mkdir bad
//	badblocks -image disk.img -mount bad        (as root)
//	{"do":"add","rule":{"name":"a","op":"write","first":1048576,"length":4096,"action":"fail","errno":5}}
//	losetup --find --show --direct-io=on bad/image
//
// Package badblocks documents rules and commands.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/bulkhead-wal/bulkhead/tests/faults/badblocks"
)

func main() {
	image := flag.String("image", "", "the image file to serve; it must exist")
	mount := flag.String("mount", "", "an empty directory to serve it in, as <mount>/image")
	flag.Parse()
	if *image == "" || *mount == "" || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "usage: badblocks -image <file> -mount <directory>")
		os.Exit(2)
	}
	server, err := badblocks.Serve(*image, *mount)
	if err != nil {
		fmt.Fprintln(os.Stderr, "badblocks:", err)
		os.Exit(1)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Control(os.Stdin, os.Stdout) }()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	fmt.Println(`{"ok":true,"text":"serving"}`)
	select {
	case err = <-ended:
	case <-stop:
	}
	if e := server.Close(); err == nil {
		err = e
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "badblocks:", err)
		os.Exit(1)
	}
}
