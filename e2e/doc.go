// Package e2e has no code, only tests: they build the program, run it as its users do, as processes
// of its own, and look at it from outside, through HTTP, the database, the bucket and its logs.
package e2e
