//go:build programs

package datanode

// CubeFS's cfs-fsck is built from this module, too: this keeps what it needs in go.mod.
import _ "github.com/cubefs/cubefs/tool/fsck/cmd"
