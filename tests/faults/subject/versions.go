package main

import (
	"encoding/json"
	"os"
)

// printVersions says which systems there are, one line of JSON each.
func printVersions() {
	out := json.NewEncoder(os.Stdout)
	for _, kind := range systems {
		if err := out.Encode(map[string]any{"system": kind.name, "version": kind.version, "modes": kind.modes}); err != nil {
			fail(err)
		}
	}
}
