// Package badblocks serves one disk image through FUSE and makes chosen byte ranges of it fail, hang, lie or be slow.
package badblocks

import _ "github.com/hanwen/go-fuse/v2/fuse" // the dependency of this module; server.go uses it
