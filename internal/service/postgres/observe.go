package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"strings"

	"github.com/XSAM/otelsql"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.40.0"
	"go.opentelemetry.io/otel/trace"
)

// openObserved opens a pool whose statements are measured and traced.
func openObserved(c driver.Connector) *sql.DB {
	return otelsql.OpenDB(c,
		otelsql.WithDisableSkipErrMeasurement(true),
		otelsql.WithSpanNameFormatter(spanName),
		otelsql.WithAttributes(semconv.DBSystemNamePostgreSQL),
		otelsql.WithSpanErrorAttributesGetter(errorCode),
		otelsql.WithInstrumentErrorAttributesGetter(errorCode),
		otelsql.WithSpanOptions(otelsql.SpanOptions{
			DisableQuery:         true,                              // the name of the span says enough about the statement
			RecordError:          func(error) bool { return false }, // the text of an error may quote a value
			OmitConnResetSession: true, OmitConnPrepare: true, OmitRows: true, OmitConnectorConnect: true,
			SpanFilter: inTrace,
		}))
}

// inTrace reports whether a call has a span. Calls outside a trace have none, because otherwise each
// statement of a poll or a probe would begin a trace of its own. The begin and the rollback of a transaction
// have none either.
func inTrace(ctx context.Context, method otelsql.Method, _ string, _ []driver.NamedValue) bool {
	return method != otelsql.MethodConnBeginTx && method != otelsql.MethodTxRollback && trace.SpanContextFromContext(ctx).IsSampled()
}

// spanName returns the first word of a statement and the first table of the service in it, such as
// "UPDATE memexport.exports".
func spanName(_ context.Context, method otelsql.Method, query string) string {
	verb, _, _ := strings.Cut(strings.TrimSpace(query), " ")
	if verb == "" {
		return string(method)
	}
	const schema = "memexport."
	_, table, found := strings.Cut(query, schema)
	if !found {
		return verb
	}
	if end := strings.IndexFunc(table, func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') }); end >= 0 {
		table = table[:end]
	}
	return verb + " " + schema + table
}

// errorCode returns the SQLSTATE of an error of Postgres. The text of an error is left out, because it may
// quote a value.
func errorCode(err error) []attribute.KeyValue {
	if pqErr := pq.As(err); pqErr != nil {
		return []attribute.KeyValue{semconv.DBResponseStatusCode(string(pqErr.Code))}
	}
	return nil
}

// ObservePool reports metrics about the connections of db. The name tells the pools of a process apart.
func ObservePool(db *sqlx.DB, name string) (stop func() error, err error) {
	registration, err := otelsql.RegisterDBStatsMetrics(db.DB, otelsql.WithAttributes(attribute.String("pool", name)))
	if err != nil {
		return nil, err
	}
	return registration.Unregister, nil
}
