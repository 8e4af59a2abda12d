//go:build go1.21

package bulkhead

import "runtime"

// canPin tells whether payloads can be handed to the library where they lie.
const canPin = true

type pinner = runtime.Pinner
