package api

import (
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"memexport/internal/service/export"
	"memexport/internal/service/format"
	"memexport/internal/service/memory"
)

const schemaPrefix = "#/components/schemas/"

// newRegistry returns a schema registry in which the enums of other packages have named schemas.
func newRegistry() huma.Registry {
	registry := huma.NewMapRegistry(schemaPrefix, huma.DefaultSchemaNamer)
	registry.RegisterTypeAlias(reflect.TypeFor[export.Status](), reflect.TypeFor[exportStatus]())
	registry.RegisterTypeAlias(reflect.TypeFor[memory.Priority](), reflect.TypeFor[priority]())
	return registry
}

// Each of these types has a method Schema, which Huma calls to get the named schema of an enum.
// export.Status and memory.Priority have no such method, so newRegistry makes Huma use exportStatus and
// priority instead.
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

// defaultFormat is the format of an export whose request names none.
var defaultFormat = exportFormat(format.All[0].Name)

// enum registers the schema of an enum, unless it is registered already, and returns a reference to it.
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
