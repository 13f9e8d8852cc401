package main

import (
	"errors"
	"fmt"
	"io"
)

// streams are where a command writes.
type streams struct{ out, err io.Writer }

// usageError is an error of the question: something cannot be read or used. Its exit code is 2.
type usageError struct{ error }

// Unwrap returns what could not be done.
func (u usageError) Unwrap() error { return u.error }

func codeOf(err error, stderr io.Writer) int {
	var usage usageError
	switch {
	case err == nil:
		return exitGood
	case errors.Is(err, errWrong):
		return exitWrong
	case errors.As(err, &usage):
		fmt.Fprintln(stderr, "ceralacca:", usage.error)
		return exitUsage
	}
	fmt.Fprintln(stderr, "ceralacca:", err)
	return exitWrong
}
