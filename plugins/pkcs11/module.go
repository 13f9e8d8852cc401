//go:build cgo

package main

import (
	"fmt"

	"github.com/miekg/pkcs11"
)

// look finds the token, and what it says of its PIN, before anything else is tried: crypto11 would take the first of
// several tokens, and tries the PIN at once. The module is loaded for it and let go again.
func look(c config) (pkcs11.TokenInfo, error) {
	var none pkcs11.TokenInfo
	module := pkcs11.New(c.module)
	if module == nil {
		return none, fmt.Errorf("%s cannot be loaded: it is no PKCS#11 library for this machine, or ldd says what it misses", c.module)
	}
	defer module.Destroy()
	if err := module.Initialize(); err != nil {
		return none, fmt.Errorf("%s does not start: %w", c.module, err)
	}
	defer func() { _ = module.Finalize() }() // it is let go whatever it says
	slots, err := module.GetSlotList(true)
	if err != nil {
		return none, fmt.Errorf("%s does not list its tokens: %w", c.module, err)
	}
	var found []pkcs11.TokenInfo
	labels := []string{}
	for _, slot := range slots {
		info, err := module.GetTokenInfo(slot)
		if err != nil {
			continue // another's, or it comes again
		}
		labels = append(labels, info.Label)
		if info.Label == c.token && (c.serial == "" || info.SerialNumber == c.serial) {
			found = append(found, info)
		}
	}
	switch {
	case len(found) == 0 && c.serial != "":
		return none, fmt.Errorf("there is no token with the label %q and the serial number %q; there are %q", c.token, c.serial, labels)
	case len(found) == 0:
		return none, fmt.Errorf("there is no token with the label %q; there are %q", c.token, labels)
	case len(found) > 1:
		return none, fmt.Errorf("%d tokens have the label %q; write serial, such as %q", len(found), c.token, found[0].SerialNumber)
	}
	if found[0].MaxRwSessionCount == 1 {
		return none, fmt.Errorf("the token %q allows one session, and two are needed: one that stays, and one that signs", c.token)
	}
	return found[0], nil
}
