package api

import (
	"encoding/json"
	"errors"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"memexport/internal/service/memory"
)

// filterParam is a query parameter that a field of memory.Filter declares with its tags. A new filter
// needs no change in this package.
type filterParam struct {
	field  int // the field's index in memory.Filter
	name   string
	schema *huma.Schema
}

// Requests are parsed with these variables. filterRegistry is not changed after this, so concurrent
// requests may read it.
var (
	filterRegistry = newRegistry()
	filterParams   = paramsOf(filterRegistry, reflect.TypeFor[memory.Filter]())
)

// maxItem is the greatest length of one item of a list, in characters, unless the tag of the filter's
// field sets another length.
const maxItem = 256

// paramsOf returns the parameters that the fields of a filter declare.
func paramsOf(registry huma.Registry, filter reflect.Type) []filterParam {
	var params []filterParam
	for i := range filter.NumField() {
		field := filter.Field(i)
		schema := huma.SchemaFromField(registry, field, "")
		schema.Nullable = false    // a filter can be null in JSON but not in a URL
		schema.UniqueItems = false // an item of a list may be repeated and then counts once
		if items := schema.Items; items != nil && items.Type == huma.TypeString {
			items.MinLength, items.MaxLength = orDefault(items.MinLength, 1), orDefault(items.MaxLength, maxItem)
		}
		schema.PrecomputeMessages()
		params = append(params, filterParam{field: i, name: field.Tag.Get("query"), schema: schema})
	}
	return params
}

// orDefault returns limit, or a pointer to value if limit is nil.
func orDefault(limit *int, value int) *int {
	if limit == nil {
		return &value
	}
	return limit
}

// filterDocs describes the parameters of memory.Filter for the OpenAPI document.
func filterDocs() []*huma.Param {
	var params []*huma.Param
	for _, p := range paramsOf(newRegistry(), reflect.TypeFor[memory.Filter]()) {
		param := &huma.Param{Name: p.name, In: "query", Description: p.schema.Description, Schema: p.schema}
		switch {
		case p.schema.Type == huma.TypeArray:
			param.Explode = new(bool) // items are separated by commas
			param.Description += " Separated by commas; the parameter may also be repeated. What is repeated counts once, and spaces count. An item cannot contain a comma."
		case p.schema.Format == "date-time":
			param.Description += " A timestamp after RFC 3339 with any offset, or a date such as 2026-01-15, which means midnight UTC. A + must be sent as %2B, since in a URL it means a space."
		}
		params = append(params, param)
	}
	return params
}

// parseFilter returns the filter that the query string describes, or all errors in the query string.
func parseFilter(values url.Values) (memory.Filter, []error) {
	var filter memory.Filter
	errs := parseParams(filterRegistry, filterParams, values, reflect.ValueOf(&filter).Elem())
	if err := filter.Check(); err != nil && len(errs) == 0 {
		errs = append(errs, &huma.ErrorDetail{Location: "query", Message: err.Error()})
	}
	return filter, errs
}

// parseParams sets the fields of filter from the query string and returns all errors that it finds.
func parseParams(registry huma.Registry, params []filterParam, values url.Values, filter reflect.Value) []error {
	var result huma.ValidateResult
	for _, p := range params {
		if !values.Has(p.name) {
			continue
		}
		path := huma.NewPathBuffer(nil, 0)
		path.Push("query")
		path.Push(p.name)
		parsed, err := parseParam(values[p.name], filter.Field(p.field))
		if err != nil {
			result.Add(path, nil, err.Error())
			continue
		}
		huma.Validate(registry, p.schema, path, huma.ModeWriteToServer, parsed, &result)
	}
	return result.Errors
}

// parseParam sets a field of a filter from the values of its parameter. It returns the value in the form
// in which the schema can validate it.
func parseParam(values []string, field reflect.Value) (any, error) {
	switch target := field.Addr().Interface().(type) {
	case *[]string:
		for _, item := range strings.Split(strings.Join(values, ","), ",") {
			if !slices.Contains(*target, item) {
				*target = append(*target, item)
			}
		}
		return *target, nil
	case **time.Time:
		t, err := parseTime(values[0])
		*target = &t
		return t.Format(time.RFC3339Nano), err
	}
	field.Set(reflect.New(field.Type().Elem()))
	if field.Elem().Kind() == reflect.String {
		field.Elem().SetString(values[0])
		return values[0], nil
	}
	if err := json.Unmarshal([]byte(values[0]), field.Interface()); err != nil {
		return nil, errors.New("must be of the type " + field.Elem().Kind().String())
	}
	return field.Elem().Interface(), nil
}

var errTime = errors.New("must be an RFC 3339 timestamp such as 2026-01-15T10:30:00Z or 2026-01-15T10:30:00%2B02:00, " +
	"or a date such as 2026-01-15, which means midnight UTC; a bare + in a URL arrives as a space, so send it as %2B")

// timestampForm is stricter than time.Parse, which, for example, accepts a comma before the fraction.
var timestampForm = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$`)

// parseTime parses a date or a timestamp. It returns the time in UTC and in whole microseconds, the
// precision of Postgres, so that two spellings of the same time give equal parameters.
func parseTime(text string) (time.Time, error) {
	t, err := time.Parse(time.DateOnly, text)
	if timestampForm.MatchString(text) {
		t, err = time.Parse(time.RFC3339, text)
	}
	t = t.UTC().Truncate(time.Microsecond)
	if err != nil || t.Year() < 1 || t.Year() > 9999 { // JSON allows only the years 1 to 9999, and the conversion to UTC can change the year
		return time.Time{}, errTime
	}
	return t, nil
}
