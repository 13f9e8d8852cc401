package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// streams are where a command writes.
type streams struct{ out, err io.Writer }

// line writes a line of JSON. Go writes <, > and & in a form for web pages, which nobody finds who looks for a Message-ID.
// An escaped backslash is taken as a whole, so that what follows it is never mistaken for that form.
func (s *streams) line(encoded []byte) error {
	plain := strings.NewReplacer(`\\`, `\\`, `\u003c`, "<", `\u003e`, ">", `\u0026`, "&")
	_, err := fmt.Fprintln(s.out, plain.Replace(string(encoded)))
	return err
}

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
