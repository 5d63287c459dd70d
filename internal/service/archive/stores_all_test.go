//go:build stores

package archive

import "memexport/internal/workshop/storetest"

// storeNames are the stores on which the suite runs: a directory and the servers.
var storeNames = storetest.Names
