package host

import (
	"errors"
	"fmt"
)

// Before any call: what makes a plug-in unfit. The text that wraps it says what is wrong and what to do.
var (
	// ErrFile says that the executable is not what the configuration pins, or can be changed by others.
	ErrFile = errors.New("the plug-in's file is not to be trusted")
	// ErrIsolation says that this host cannot keep the plug-in apart as the configuration wants.
	ErrIsolation = errors.New("the plug-in cannot be isolated")
	// ErrDescription says that what the plug-in says of itself does not fit.
	ErrDescription = errors.New("the plug-in does not fit")
	// ErrConfiguration says that the plug-in does not take its configuration.
	ErrConfiguration = errors.New("the plug-in refuses its configuration")
	// ErrHandshake says that no connection came about.
	ErrHandshake = errors.New("the handshake with the plug-in failed")
)

// Of a call: why there is no answer. All are temporary.
var (
	// ErrAbsent says that there is no process to ask now.
	ErrAbsent = errors.New("the plug-in is absent")
	// ErrSlow says that the deadline passed, waiting for a place included.
	ErrSlow = errors.New("the plug-in is slow")
	// ErrWrong says that the answer breaks the rules of the contract.
	ErrWrong = errors.New("the plug-in's answer is wrong")
	// ErrDied says that the process ended in the middle of the call.
	ErrDied = errors.New("the plug-in died")
	// ErrUnable is the plug-in's own word: it could not do it now.
	ErrUnable = errors.New("the plug-in could not")
)

// ChecksumError is [ErrFile] of an executable that is not the pinned one.
type ChecksumError struct {
	Path      string
	Got, Want string // SHA-256 in hexadecimal
}

// Error implements error.
func (e *ChecksumError) Error() string {
	return fmt.Sprintf("%v: %s has the SHA-256 %s, the configuration pins %s", ErrFile, e.Path, e.Got, e.Want)
}

// Is implements what errors.Is asks.
func (*ChecksumError) Is(target error) bool { return target == ErrFile }
