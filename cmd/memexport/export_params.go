package main

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"memexport/client"
	"memexport/internal/service/format"
	"memexport/internal/service/memory"
)

// The flags and the parameters come from the fields of memory.Filter and client.CreateExportParams
// by reflection. So a new filter gets its flag, its help and its parameter without a change in this
// file.

// filterFlag returns the name of the flag for a filter with this name in the API.
func filterFlag(name string) string {
	short := map[string]string{"categories": "category", "created_after": "since", "created_before": "until"}
	return cmp.Or(short[name], strings.ReplaceAll(name, "_", "-"))
}

// valuesAnnotation is the key of the annotation that holds the values that a flag accepts.
const valuesAnnotation = "memexport_values"

// addParams adds a flag for the format of a new export and one for each field of memory.Filter.
func addParams(c *cobra.Command) {
	c.Flags().String("format", format.All[0].Name, "the format of the file: "+strings.Join(format.Names(), ", "))
	accept(c, "format", format.Names())
	addFilters(c, reflect.TypeFor[memory.Filter]())
}

// addFilters adds a flag for each field of a filter.
func addFilters(c *cobra.Command, filter reflect.Type) {
	for field := range filter.Fields() {
		flag := filterFlag(field.Tag.Get("query"))
		help := strings.TrimSuffix(field.Tag.Get("doc"), ".")
		if help != "" {
			help = strings.ToLower(help[:1]) + help[1:]
		}
		kind := field.Type
		if kind.Kind() == reflect.Slice {
			c.Flags().StringArray(flag, nil, help+"; repeat it, or use commas")
			kind = kind.Elem()
		} else {
			kind = kind.Elem() // filters are pointers; nil means no condition
			c.Flags().String(flag, "", help)
		}
		values := strings.FieldsFunc(field.Tag.Get("enum"), func(r rune) bool { return r == ',' })
		switch {
		case kind == reflect.TypeFor[memory.Priority]():
			values = priorityNames()
		case kind == reflect.TypeFor[time.Time]():
			c.Flags().Lookup(flag).Usage += ": 2026-01-31 (UTC) or 2026-01-31T12:00:00+01:00"
		case kind.Kind() == reflect.Bool:
			values = []string{"true", "false"}
		}
		if values != nil {
			c.Flags().Lookup(flag).Usage += ": " + strings.Join(values, ", ")
			accept(c, flag, values)
		}
	}
}

// accept makes setParam refuse all values of a flag that are not in values, and makes the shell complete
// these values.
func accept(c *cobra.Command, flag string, values []string) {
	if err := c.Flags().SetAnnotation(flag, valuesAnnotation, values); err != nil {
		panic(err) // cannot happen: the flag has been defined before
	}
	complete(c, flag, values...)
}

// params returns the request parameters that the flags of cmd describe.
func params(cmd *cobra.Command) (p client.CreateExportParams, err error) {
	err = setParams(cmd, reflect.ValueOf(&p).Elem())
	return p, err
}

// setParams sets the fields of the struct params whose flags are set on the command line.
func setParams(cmd *cobra.Command, params reflect.Value) error {
	for i := range params.NumField() {
		name, _, _ := strings.Cut(params.Type().Field(i).Tag.Get("form"), ",")
		flag := filterFlag(name)
		if f := cmd.Flags().Lookup(flag); name == "" || f == nil || !f.Changed && flag != "format" {
			continue
		}
		if err := setParam(cmd, flag, params.Field(i)); err != nil {
			return fmt.Errorf("--%s %w", flag, err)
		}
	}
	return nil
}

// setParam sets a parameter, which is a pointer, from its flag. It refuses an empty value: if a script
// passes a shell variable that is not set, the command must not export everything.
func setParam(cmd *cobra.Command, flag string, param reflect.Value) error {
	accepted := cmd.Flags().Lookup(flag).Annotations[valuesAnnotation]
	target := reflect.New(param.Type().Elem())
	if list := target.Elem(); list.Kind() == reflect.Slice {
		values, err := cmd.Flags().GetStringArray(flag)
		if err != nil {
			return err
		}
		for item := range strings.SplitSeq(strings.Join(values, ","), ",") {
			if item == "" {
				return errors.New("has an empty item")
			}
			element := reflect.New(list.Type().Elem()).Elem()
			if err := setValue(element, item, accepted); err != nil {
				return err
			}
			list.Set(reflect.Append(list, element))
		}
		param.Set(target)
		return nil
	}
	value, err := cmd.Flags().GetString(flag)
	if err != nil {
		return err
	}
	if value == "" {
		return errors.New("is empty: leave the flag out to export without this filter")
	}
	if err := setValue(target.Elem(), value, accepted); err != nil {
		return err
	}
	param.Set(target)
	return nil
}

// setValue parses text as the type of target and sets target to it. If accepted is not empty, the text
// must be one of its items.
func setValue(target reflect.Value, text string, accepted []string) error {
	if len(accepted) > 0 && !slices.Contains(accepted, text) {
		return fmt.Errorf("is %q: give one of %s", text, strings.Join(accepted, ", "))
	}
	switch kind := target.Kind(); {
	case target.Type() == reflect.TypeFor[time.Time]():
		t, err := parseTime(text)
		if err != nil {
			return fmt.Errorf("is %q: give a date such as 2026-01-31, which means midnight UTC, or a time such as 2026-01-31T12:00:00Z", text)
		}
		target.Set(reflect.ValueOf(t))
	case kind == reflect.String:
		target.SetString(text)
	case kind == reflect.Bool:
		target.SetBool(text == "true")
	case target.CanInt():
		n, err := strconv.ParseInt(text, 10, target.Type().Bits())
		if err != nil {
			return fmt.Errorf("is %q: give a whole number of up to %d bits", text, target.Type().Bits())
		}
		target.SetInt(n)
	case target.CanFloat():
		f, err := strconv.ParseFloat(text, target.Type().Bits())
		if err != nil {
			return fmt.Errorf("is %q: give a number", text)
		}
		target.SetFloat(f)
	default:
		return fmt.Errorf("has the type %s, which setValue cannot parse", target.Type())
	}
	return nil
}

// parseTime parses an RFC 3339 time, or a date. A date stands for midnight UTC.
func parseTime(text string) (time.Time, error) {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		t, err = time.Parse(time.RFC3339, text)
	}
	return t.UTC(), err
}

// complete lets the shell complete the values of a flag.
func complete(c *cobra.Command, flag string, values ...string) {
	if err := c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // cannot happen: complete is called once for each flag
	}
}

func priorityNames() (names []string) {
	for _, p := range memory.Priorities {
		names = append(names, string(p))
	}
	return names
}

// filterNames returns the names of the filters in the API.
func filterNames() (names []string) {
	filter := reflect.TypeFor[memory.Filter]()
	for field := range filter.Fields() {
		names = append(names, field.Tag.Get("query"))
	}
	return names
}
