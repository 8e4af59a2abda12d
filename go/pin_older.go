//go:build !go1.21

package bulkhead

// canPin is false before Go 1.21: every batch is copied into one buffer.
const canPin = false

type pinner struct{}

func (pinner) Pin(interface{}) {}
func (pinner) Unpin()          {}
