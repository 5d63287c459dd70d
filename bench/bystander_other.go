//go:build !linux

package main

// pin does nothing: only Linux has an implementation.
func pin(int, int) error { return nil }
