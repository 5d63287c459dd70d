//go:build !linux

package archive

var diskCases []storeCase
