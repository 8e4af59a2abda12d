package bulkhead

/*
#cgo linux CFLAGS: -I${SRCDIR}/../include
#cgo linux LDFLAGS: -L${SRCDIR}/../target/release -l:libbulkhead.a -lpthread -ldl -lm
#include "shim.h"
*/
import "C"

import (
	"fmt"
	"unsafe"
)

// ABIVersion is the version of the C ABI this package was written for. A
// library with another one is refused when the program starts.
const ABIVersion = 1

// packedEntry has the layout of the C bulkhead_entry. Its data field is an
// integer, so that the garbage collector and the cgo pointer check need not
// look at the array: it is 0 (payloads lie back to back in one buffer) or the
// address of memory that a runtime.Pinner holds for the duration of the call.
type packedEntry struct {
	index  uint64
	term   uint64
	data   uint64
	length uint32
	kind   uint32
}

// entryHeader has the layout of the C bulkhead_entry_header.
type entryHeader struct {
	index  uint64
	term   uint64
	length uint32
	kind   uint32
}

// Both must be equal to the C sizes: a difference makes an array length
// negative, which the compiler refuses.
type (
	_ [unsafe.Sizeof(packedEntry{}) - C.sizeof_bulkhead_entry]struct{}
	_ [C.sizeof_bulkhead_entry - unsafe.Sizeof(packedEntry{})]struct{}
	_ [unsafe.Sizeof(entryHeader{}) - C.sizeof_bulkhead_entry_header]struct{}
	_ [C.sizeof_bulkhead_entry_header - unsafe.Sizeof(entryHeader{})]struct{}
)

// And the fields lie where C's do, or an index is not 0, which the compiler refuses
// as well: where a pointer has 4 bytes, what follows it lies elsewhere, and on ARM
// padding makes up for that in the size.
var (
	_ = [1]struct{}{}[unsafe.Offsetof(packedEntry{}.data)-unsafe.Offsetof(C.bulkhead_entry{}.data)]
	_ = [1]struct{}{}[unsafe.Offsetof(packedEntry{}.length)-unsafe.Offsetof(C.bulkhead_entry{}.length)]
	_ = [1]struct{}{}[unsafe.Offsetof(packedEntry{}.kind)-unsafe.Offsetof(C.bulkhead_entry{}.kind)]
	_ = [1]struct{}{}[unsafe.Offsetof(entryHeader{}.length)-unsafe.Offsetof(C.bulkhead_entry_header{}.length)]
	_ = [1]struct{}{}[unsafe.Offsetof(entryHeader{}.kind)-unsafe.Offsetof(C.bulkhead_entry_header{}.kind)]
)

func init() {
	// shim.h compares the header's version at compile time; this compares the
	// library that was really linked or loaded.
	// The symbol has the version in its name: another library does not link.
	if v := uint32(C.bulkhead_abi_1); v != ABIVersion {
		panic(fmt.Sprintf("bulkhead: the library has ABI version %d, this package needs %d: rebuild the library from the same release as the Go module", v, ABIVersion))
	}
}

// LibraryVersion is the version of the linked library, for example "0.1.0".
func LibraryVersion() string { return C.GoString(C.bulkhead_version()) }
