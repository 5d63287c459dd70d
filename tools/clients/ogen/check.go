package main

import (
	"errors"
	"fmt"
	"os"
	"reflect"
)

var failed bool

// did reports what an operation did live: the status that it was answered with, and a word on what
// was asked. Any error is what was not as the document says.
func did(operation string, status int, what string, problems ...error) {
	if err := errors.Join(problems...); err != nil {
		failed = true
		fmt.Fprintf(os.Stderr, "%s, %d, %s: %v\n", operation, status, what, err)
		return
	}
	fmt.Printf("%s\t%d\t%s\n", operation, status, what)
}

// same is nil if got is what is wanted.
func same[T any](what string, got, want T) error {
	if reflect.DeepEqual(got, want) {
		return nil
	}
	return fmt.Errorf("%s is %v, want %v", what, got, want)
}

// must ends the program at an error: what follows would make no sense.
func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
