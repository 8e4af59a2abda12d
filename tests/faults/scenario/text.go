package scenario

import (
	"fmt"
	"strconv"
)

func sprintf(format string, args ...any) string { return fmt.Sprintf(format, args...) }

func itoa(n uint64) string { return strconv.FormatUint(n, 10) }
