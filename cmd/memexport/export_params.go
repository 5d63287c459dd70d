package main

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
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

// filterFlag returns the name of the flag for a filter of the API.
func filterFlag(name string) string {
	short := map[string]string{"categories": "category", "created_after": "since", "created_before": "until"}
	return cmp.Or(short[name], strings.ReplaceAll(name, "_", "-"))
}

// addParams adds a flag for each parameter of CreateExport.
func addParams(c *cobra.Command) {
	c.Flags().String("format", format.All[0].Name, "the format of the file: "+strings.Join(formatNames(), ", "))
	complete(c, "format", formatNames()...)
	filter := reflect.TypeFor[memory.Filter]()
	for field := range filter.Fields() {
		flag := filterFlag(field.Tag.Get("query"))
		help := strings.TrimSuffix(field.Tag.Get("doc"), ".")
		help = strings.ToLower(help[:1]) + help[1:]
		switch field.Type {
		case reflect.TypeFor[[]string]():
			c.Flags().StringArray(flag, nil, help+"; repeat it, or use commas")
			continue
		case reflect.TypeFor[*time.Time]():
			help += ": 2026-01-31 (UTC) or 2026-01-31T12:00:00+01:00"
		case reflect.TypeFor[*memory.Priority]():
			help += ": " + strings.Join(priorityNames(), ", ")
		}
		c.Flags().String(flag, "", help)
	}
	complete(c, "priority", priorityNames()...)
}

// params returns the parameters that the flags set.
func params(cmd *cobra.Command) (p client.CreateExportParams, err error) {
	v := reflect.ValueOf(&p).Elem()
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("form"), ",")
		flag := filterFlag(name)
		if f := cmd.Flags().Lookup(flag); name == "" || f == nil || !f.Changed && flag != "format" {
			continue
		}
		if err := setParam(cmd, flag, v.Field(i).Addr().Interface()); err != nil {
			return p, fmt.Errorf("--%s %w", flag, err)
		}
	}
	return p, nil
}

// setParam sets a parameter to the value of its flag. It rejects an empty value. Otherwise a
// command with an unset shell variable would export everything.
func setParam(cmd *cobra.Command, flag string, into any) error {
	if list, ok := into.(**[]string); ok {
		values, err := cmd.Flags().GetStringArray(flag)
		if err != nil {
			return err
		}
		items := strings.Split(strings.Join(values, ","), ",")
		if slices.Contains(items, "") {
			return errors.New("has an empty item")
		}
		*list = &items
		return nil
	}
	value, err := cmd.Flags().GetString(flag)
	if err != nil {
		return err
	}
	if value == "" {
		return errors.New("is empty: leave the flag out to export without this filter")
	}
	switch into := into.(type) {
	case **string:
		*into = &value
	case **client.ExportFormat:
		*into = new(client.ExportFormat(value))
		if !(*into).Valid() {
			return fmt.Errorf("is %q: give one of %s", value, strings.Join(formatNames(), ", "))
		}
	case **client.Priority:
		*into = new(client.Priority(value))
		if !(*into).Valid() {
			return fmt.Errorf("is %q: give one of %s", value, strings.Join(priorityNames(), ", "))
		}
	case **time.Time:
		t, err := parseTime(value)
		if err != nil {
			return fmt.Errorf("is %q: give a date such as 2026-01-31, which means midnight UTC, or a time such as 2026-01-31T12:00:00Z", value)
		}
		*into = &t
	default:
		return fmt.Errorf("has the type %T, which no flag can set yet", into)
	}
	return nil
}

// parseTime parses an RFC 3339 time, or a date, which stands for midnight UTC.
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

func formatNames() (names []string) {
	for _, f := range format.All {
		names = append(names, f.Name)
	}
	return names
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
