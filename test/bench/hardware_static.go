//go:build !cgo

package main

import "errors"

// errStatic says why P12 cannot be measured.
var errStatic = errors.New("a PKCS#11 library takes cgo: build with CGO_ENABLED=1 and a C compiler")

// hardware is P12 with cgo.
func hardware(*bench) ([]row, error) { return nil, errStatic }

// hardwareOnce is its process.
func hardwareOnce([]string) error { return errStatic }
