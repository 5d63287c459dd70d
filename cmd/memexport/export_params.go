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

// filterFlag is the flag for a filter of the API: a new filter needs nothing here.
func filterFlag(name string) string {
	short := map[string]string{"categories": "category", "created_after": "since", "created_before": "until"}
	return cmp.Or(short[name], strings.ReplaceAll(name, "_", "-"))
}

// addParams adds a flag for each parameter of a new export.
func addParams(c *cobra.Command) {
	c.Flags().String("format", format.All[0].Name, "the format of the file: "+strings.Join(formatNames(), ", "))
	complete(c, "format", formatNames()...)
	filter := reflect.TypeFor[memory.Filter]()
	for i := range filter.NumField() {
		field := filter.Field(i)
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

// params are the parameters of the flags that were given.
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

// setParam sets a parameter to what its flag says. What is empty is refused: a variable of the shell
// that is not set must not export everything.
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
		return errors.New("is empty: leave it out to have no such filter")
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
		return fmt.Errorf("is of the type %T, which has no flag yet", into)
	}
	return nil
}

// parseTime reads a date, which means midnight UTC, or a time after RFC 3339.
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
		panic(err) // a flag that was not defined before
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

func filterNames() (names []string) {
	filter := reflect.TypeFor[memory.Filter]()
	for i := range filter.NumField() {
		names = append(names, filter.Field(i).Tag.Get("query"))
	}
	return names
}
