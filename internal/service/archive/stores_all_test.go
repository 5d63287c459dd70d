//go:build stores

package archive

import "memexport/internal/workshop/storetest"

// storeNames are the stores that the suite runs on: a directory and the servers.
var storeNames = storetest.Names
