// Package e2e has only tests. They build memexport, run it as its users do, and look at it from
// outside: through HTTP, the database, the bucket and its logs.
package e2e
