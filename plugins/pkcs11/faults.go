//go:build cgo

package main

import (
	"errors"

	"github.com/miekg/pkcs11"
)

// errPIN says that the token refused the PIN, or would.
var errPIN = errors.New("the PIN is refused")

// errGone says that a connection was given up before a call of it began.
var errGone = errors.New("it was lost")

// noSession says whether the token opens no further session, so that fewer must do.
func noSession(err error) bool { return errors.Is(err, pkcs11.Error(pkcs11.CKR_SESSION_COUNT)) }

// refusesPIN says whether an error of a login is about the PIN, so that the same PIN must not be tried again.
func refusesPIN(err error) bool {
	code, is := errors.AsType[pkcs11.Error](err)
	if !is {
		return false
	}
	switch code {
	case pkcs11.CKR_PIN_INCORRECT, pkcs11.CKR_PIN_INVALID, pkcs11.CKR_PIN_LEN_RANGE, pkcs11.CKR_PIN_EXPIRED, pkcs11.CKR_PIN_LOCKED:
		return true
	}
	return false
}
