package pec

import "errors"

var errNotYet = errors.New("not yet")
