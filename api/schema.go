package api

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"memexport/internal/service/export"
	"memexport/internal/service/format"
	"memexport/internal/service/memory"
)

const schemaPrefix = "#/components/schemas/"

// newRegistry returns a registry that knows the closed sets of other packages by name.
func newRegistry() huma.Registry {
	registry := huma.NewMapRegistry(schemaPrefix, huma.DefaultSchemaNamer)
	registry.RegisterTypeAlias(reflect.TypeFor[export.Status](), reflect.TypeFor[exportStatus]())
	registry.RegisterTypeAlias(reflect.TypeFor[memory.Priority](), reflect.TypeFor[priority]())
	return registry
}

type (
	exportFormat string
	exportStatus string
	priority     string
)

func (exportFormat) Schema(r huma.Registry) *huma.Schema {
	return enum(r, "ExportFormat", "The format of an export's file.", format.Names())
}

func (exportStatus) Schema(r huma.Registry) *huma.Schema {
	return enum(r, "ExportStatus", "Where an export stands. PENDING: accepted. PROCESSING: memories are being read and written. "+
		"READY: the whole file can be downloaded. FAILED: for good, see the field error. EXPIRED: the file is no longer available.", export.Statuses)
}

func (priority) Schema(r huma.Registry) *huma.Schema {
	return enum(r, "Priority", "How important a memory is.", memory.Priorities)
}

// enum registers a closed set once and returns the reference to it.
func enum[T ~string](r huma.Registry, name, description string, values []T) *huma.Schema {
	if r.Map()[name] == nil {
		s := &huma.Schema{Type: huma.TypeString, Description: description}
		for _, v := range values {
			s.Enum = append(s.Enum, string(v))
		}
		s.PrecomputeMessages()
		r.Map()[name] = s
	}
	return &huma.Schema{Ref: schemaPrefix + name}
}

// TransformSchema says of references that they may be null in the one way that no generator of
// clients stumbles over.
func (Export) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	for _, field := range reflect.VisibleFields(reflect.TypeFor[Export]()) {
		property := s.Properties[field.Tag.Get("json")]
		if property == nil {
			continue // the embedded filter itself
		}
		if len(field.Index) > 1 { // one of the filter's
			property.Description += " Null if the export is not filtered by it."
		}
		if field.Type.Kind() == reflect.Pointer && property.Ref != "" {
			property.AnyOf = []*huma.Schema{{Ref: property.Ref}, {Type: "null"}}
			property.Ref = ""
		}
	}
	return s
}

// TransformSchema lists the codes without closing the set.
func (ExportError) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	s.Properties["code"].Extensions = map[string]any{"x-extensible-enum": slices.Sorted(maps.Keys(export.Failures))}
	return s
}

// timestamp is a time as the API shows it: UTC, with milliseconds, with microseconds if there are any.
type timestamp time.Time

func (t timestamp) MarshalJSON() ([]byte, error) {
	layout := `"2006-01-02T15:04:05.000Z"`
	if utc := time.Time(t).UTC(); utc.Nanosecond()%int(time.Millisecond) != 0 {
		layout = `"2006-01-02T15:04:05.000000Z"`
	}
	return []byte(time.Time(t).UTC().Format(layout)), nil
}

// wireFields are the fields of Export, those of the embedded filter among them in their place, and
// wireType is a struct of them that has timestamps for times.
var wireFields, wireType = func() (fields []reflect.StructField, wire reflect.Type) {
	times := map[reflect.Type]reflect.Type{
		reflect.TypeFor[time.Time]():  reflect.TypeFor[timestamp](),
		reflect.TypeFor[*time.Time](): reflect.TypeFor[*timestamp](),
	}
	var shown []reflect.StructField
	for _, field := range reflect.VisibleFields(reflect.TypeFor[Export]()) {
		if field.Anonymous {
			continue
		}
		fields = append(fields, field)
		if as, ok := times[field.Type]; ok {
			field.Type = as
		}
		shown = append(shown, reflect.StructField{Name: field.Name, Type: field.Type, Tag: field.Tag})
	}
	return fields, reflect.StructOf(shown)
}()

// MarshalJSON writes the fields in the order of the struct, in which encoding/json would put those
// of the embedded filter, too, but with the times of Go.
func (e Export) MarshalJSON() ([]byte, error) {
	from, to := reflect.ValueOf(e), reflect.New(wireType).Elem()
	for i, field := range wireFields {
		to.Field(i).Set(from.FieldByIndex(field.Index).Convert(to.Field(i).Type()))
	}
	return json.Marshal(to.Interface())
}
