//go:build !amd64 && !arm64

package fault

const (
	seccompNumber     = 0
	auditArchitecture = 0
)

var failingCalls []uintptr
