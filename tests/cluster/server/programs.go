//go:build programs

package main

// CubeFS's own command line and FUSE client are built from this module, too: this keeps what they need in go.mod.
import (
	_ "github.com/cubefs/cubefs/cli"
	_ "github.com/cubefs/cubefs/client"
)
