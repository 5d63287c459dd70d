package main

import (
	"errors"
	"fmt"
	"os"
	"reflect"
)

var failed bool

// did prints a line about a call: the operation, the status of the response, and a few words about what
// was requested. The problems are differences from the document. If there are any, the program will
// exit with an error.
func did(operation string, status int, what string, problems ...error) {
	if err := errors.Join(problems...); err != nil {
		failed = true
		fmt.Fprintf(os.Stderr, "%s, %d, %s: %v\n", operation, status, what, err)
		return
	}
	fmt.Printf("%s\t%d\t%s\n", operation, status, what)
}

// same returns an error unless got equals want.
func same[T any](what string, got, want T) error {
	if reflect.DeepEqual(got, want) {
		return nil
	}
	return fmt.Errorf("%s is %v, want %v", what, got, want)
}

// must ends the program if err is not nil.
func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
