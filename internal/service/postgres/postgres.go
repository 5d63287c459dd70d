// Package postgres opens Postgres databases and migrates the schema memexport, which holds the tables of
// this service.
package postgres

import (
	"bufio"
	"context"
	"database/sql"
	"net"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// Open returns a pool of at most maxConns connections to a database. The url is a postgres:// URL or a
// string of key=value pairs. Open does not connect; the first query does.
func Open(url string, maxConns int) (*sqlx.DB, error) {
	connector, err := pq.NewConnector(url)
	if err != nil {
		return nil, err
	}
	connector.Dialer(dialer{})
	db := sqlx.NewDb(sql.OpenDB(connector), "postgres")
	db.SetMaxOpenConns(maxConns)
	db.SetMaxIdleConns(maxConns)
	db.SetConnMaxIdleTime(5 * time.Minute) // closes the connections that only a burst needed
	return db, nil
}

// dialer adds a read buffer of 64 KiB to connections. lib/pq reads only 4 KiB at a time, which costs
// many system calls for a large result.
type dialer struct{ net.Dialer }

func (d dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

func (d dialer) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return d.DialContext(ctx, network, address)
}

func (d dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := d.Dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &bufferedConn{Conn: conn, buffer: bufio.NewReaderSize(conn, 64<<10)}, nil
}

// bufferedConn reads through a buffer.
type bufferedConn struct {
	net.Conn
	buffer *bufio.Reader
}

func (c *bufferedConn) Read(p []byte) (int, error) { return c.buffer.Read(p) }
