//go:build amd64 || arm64

package fault

import "syscall"

var failingCalls = []uintptr{
	syscall.SYS_WRITE, syscall.SYS_WRITEV, syscall.SYS_PWRITE64, syscall.SYS_PWRITEV,
	syscall.SYS_FSYNC, syscall.SYS_FDATASYNC, syscall.SYS_FALLOCATE, syscall.SYS_FTRUNCATE,
	syscall.SYS_OPENAT, syscall.SYS_RENAMEAT, syscall.SYS_UNLINKAT, syscall.SYS_MKDIRAT,
	pwritev2Number, renameat2Number,
}
