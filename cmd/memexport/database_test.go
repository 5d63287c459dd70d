package main

import (
	"strings"
	"testing"

	"memexport/internal/service/postgres"
)

func TestAURLOfSeveralServersIsRefused(t *testing.T) {
	for dsn, refused := range map[string]bool{
		"postgres://user:secret@a/db":                                                      false,
		"postgres://user:secret@a/db?load_balance_hosts=random":                            false, // there is nothing to balance
		"postgres://user:secret@a,b/db":                                                    true,
		"postgres://user:secret@a:5432,b:5433/db":                                          true,
		"postgres://user:secret@a,b/db?load_balance_hosts=random":                          true,
		"postgres://user:secret@a,b/db?target_session_attrs=any":                           true,
		"postgres://user:secret@a,b/db?target_session_attrs=standby":                       true,
		"postgres://user:secret@a,b/db?target_session_attrs=prefer-standby":                true,
		"postgres://user:secret@a,b/db?target_session_attrs=read-only":                     true,
		"postgres://user:secret@a,b/db?target_session_attrs=primary":                       false,
		"postgres://user:secret@a,b/db?target_session_attrs=read-write":                    false,
		"host=a,b user=user password=secret dbname=db":                                     true,
		"host=a user=user password=secret dbname=db":                                       false,
		"hostaddr=10.0.0.1,10.0.0.2 user=user password=secret dbname=db sslmode=disable":   true,
		"postgres://user:secret@/db?host=a,b&load_balance_hosts=random&sslmode=disable":    true,
		"postgres://user:secret@/db?host=a,b&target_session_attrs=primary&sslmode=disable": false,
	} {
		db, err := openPool("MEMORIES_DATABASE_URL", dsn, postgres.Options{})
		if err == nil {
			db.Close()
		}
		if (err != nil) != refused {
			t.Errorf("%s: %v", dsn, err)
		}
		if err != nil && (!strings.HasPrefix(err.Error(), "MEMORIES_DATABASE_URL ") || !strings.Contains(err.Error(), "target_session_attrs=primary") || strings.Contains(err.Error(), "secret")) {
			t.Errorf("%s: the message is %v", dsn, err)
		}
	}
}
