package process_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"memexport/internal/service/config"
	"memexport/internal/workshop/process"
)

func TestACleanEnvironmentHasNoSettings(t *testing.T) {
	t.Setenv("PGHOST", "elsewhere")
	t.Setenv("DATABASE_URL", "postgres://production")
	t.Setenv("DATABASE_URLS", "kept: another name")
	t.Setenv("OTEL_SERVICE_NAME", "other")
	has := func(environ []string, name string) bool {
		return slices.ContainsFunc(environ, func(variable string) bool { return strings.HasPrefix(variable, name+"=") })
	}
	removed := []string{"PGHOST", "DATABASE_URL", "OTEL_SERVICE_NAME"}
	for field := range reflect.TypeFor[config.Config]().Fields() {
		name := field.Tag.Get("env")
		t.Setenv(name, "from a developer's shell")
		removed = append(removed, name)
	}
	clean := process.CleanEnviron()
	for _, name := range removed {
		if has(clean, name) {
			t.Errorf("%s is still there", name)
		}
	}
	if !has(clean, "DATABASE_URLS") || !has(clean, "PATH") {
		t.Errorf("too much was removed: %q", clean)
	}
	if some := process.EnvironWithout("PG"); has(some, "PGHOST") || !has(some, "DATABASE_URL") {
		t.Errorf("%q", some)
	}
}
