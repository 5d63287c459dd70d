//go:build !stores

package archive

// storeNames are the stores on which the suite runs. The build tag stores adds servers.
var storeNames = []string{"file"}
