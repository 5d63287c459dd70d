package postgres_test

import (
	"context"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"memexport/internal/service/postgres"
	"memexport/internal/workshop/pgtest"
	"memexport/internal/workshop/port"
)

// at returns the URL of a database with another host.
func at(t *testing.T, database, host string) string {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = host
	return u.String()
}

func TestADatabaseThatStartsLaterIsWaitedFor(t *testing.T) {
	database := pgtest.New(t)
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	number, err := port.Restartable()
	if err != nil {
		t.Fatal(err)
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(number))
	db := pgtest.OpenURL(t, at(t, database, address), 1)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	began := time.Now()
	if err := postgres.WaitReady(ctx, db); err == nil || !strings.Contains(err.Error(), "refused") || time.Since(began) < 500*time.Millisecond {
		t.Errorf("after %s without a server: %v", time.Since(began), err)
	}
	ready := make(chan error)
	ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	go func() { ready <- postgres.WaitReady(ctx, db) }()
	time.Sleep(500 * time.Millisecond)
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", u.Host)
			if err != nil {
				near.Close()
				continue
			}
			go func() { _, _ = io.Copy(near, far); near.Close() }() // they return when either side closes
			go func() { _, _ = io.Copy(far, near); far.Close() }()
		}
	}()
	if err := <-ready; err != nil {
		t.Error(err)
	}
}

func TestAMistakeIsNotWaitedFor(t *testing.T) {
	for name, change := range map[string]func(*url.URL){
		"a user that does not exist":     func(u *url.URL) { u.User = url.UserPassword("nobody", "x") },
		"a database that does not exist": func(u *url.URL) { u.Path += "x" },
	} {
		u, err := url.Parse(pgtest.New(t))
		if err != nil {
			t.Fatal(err)
		}
		change(u)
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		err = postgres.WaitReady(ctx, pgtest.OpenURL(t, u.String(), 1))
		cancel()
		if err == nil || time.Since(began) > 30*time.Second {
			t.Errorf("%s: after %s: %v", name, time.Since(began), err)
		}
	}
}
