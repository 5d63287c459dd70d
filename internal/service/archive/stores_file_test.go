//go:build !stores

package archive

// storeNames are the stores that the suite runs on. With the build tag stores, servers are added.
var storeNames = []string{"file"}
