package api

import (
	"encoding/json"
	"reflect"
	"time"
)

// timestamp is a time as the API writes it: in UTC, with three digits for the fraction of the second, or
// six if the time is not a whole number of milliseconds.
type timestamp time.Time

func (t timestamp) MarshalJSON() ([]byte, error) {
	layout := `"2006-01-02T15:04:05.000Z"`
	if utc := time.Time(t).UTC(); utc.Nanosecond()%int(time.Millisecond) != 0 {
		layout = `"2006-01-02T15:04:05.000000Z"`
	}
	return []byte(time.Time(t).UTC().Format(layout)), nil
}

// wireFields are the fields of Export in order. In place of the embedded filter, they contain the
// fields of the filter. wireType is a struct of these fields in which every time is a timestamp.
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

// MarshalJSON writes what encoding/json would write by default, except that times are written as
// timestamp.
func (e Export) MarshalJSON() ([]byte, error) {
	from, to := reflect.ValueOf(e), reflect.New(wireType).Elem()
	for i, field := range wireFields {
		to.Field(i).Set(from.FieldByIndex(field.Index).Convert(to.Field(i).Type()))
	}
	return json.Marshal(to.Interface())
}
