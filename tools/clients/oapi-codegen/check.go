package main

import (
	"errors"
	"fmt"
	"os"
	"reflect"
)

var failed bool

// did prints a call: the operation, the status of the answer, and a word on what was requested. The
// problems are differences from the document; if there are any, the program will fail.
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

// must ends the program on an error after which it cannot go on.
func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
