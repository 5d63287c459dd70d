// Package e2e contains only tests. They build memexport, run it as users do, and check it from outside:
// through HTTP, the database, the bucket and the logs.
package e2e
