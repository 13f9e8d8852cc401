package signer

import (
	"bytes"
	"cmp"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"
)

// serials are what a list revokes, in order: 32 bytes each. The zero value revokes nothing.
type serials []revokedSerial

// revokedSerial is a serial number, right-aligned, and since when it is revoked.
type revokedSerial struct {
	number [maxSerial]byte
	since  int64 // seconds since 1970
}

// maxSerial is the length of the longest serial number (RFC 5280 section 4.1.2.2), and of the zero byte before one whose
// highest bit is set, which some authorities forget to count.
const maxSerial = 21

// serialOf is the number right-aligned, false when it is negative or too long, which no certificate may be.
func serialOf(number []byte) (key [maxSerial]byte, ok bool) {
	if len(number) == 0 || len(number) > maxSerial || number[0]&0x80 != 0 {
		return key, false
	}
	copy(key[maxSerial-len(number):], number)
	return key, true
}

// find returns since when a number is revoked, and whether it is.
func (s serials) find(number *big.Int) (time.Time, bool) {
	var key [maxSerial]byte
	if number.Sign() < 0 || number.BitLen() > 8*maxSerial {
		return time.Time{}, false
	}
	number.FillBytes(key[:])
	i, found := slices.BinarySearchFunc(s, key, func(e revokedSerial, key [maxSerial]byte) int {
		return bytes.Compare(e.number[:], key[:])
	})
	if !found {
		return time.Time{}, false
	}
	return time.Unix(s[i].since, 0), true
}

// readSerials reads the entries of revokedCertificates (RFC 5280 section 5.1.2.6). Of a number that is there twice the
// first revocation counts. The reasons are not read: whatever they are, the certificate does not count.
func readSerials(entries []byte) (serials, error) {
	list := make(serials, 0, len(entries)/36) // an entry of usual size, so that the list is rarely made longer
	for rest := entries; len(rest) > 0; {
		var entry element
		var err error
		if entry, rest, err = cut(rest, asn1.TagSequence); err != nil {
			return nil, fmt.Errorf("revoked certificate: %w", err)
		}
		one, err := readSerial(entry.content)
		if err != nil {
			return nil, fmt.Errorf("revoked certificate: %w", err)
		}
		list = append(list, one)
	}
	slices.SortFunc(list, func(a, b revokedSerial) int {
		if order := bytes.Compare(a.number[:], b.number[:]); order != 0 {
			return order
		}
		return cmp.Compare(a.since, b.since)
	})
	return slices.CompactFunc(list, func(a, b revokedSerial) bool { return a.number == b.number }), nil
}

func readSerial(entry []byte) (one revokedSerial, err error) {
	number, rest, err := cut(entry, asn1.TagInteger)
	if err != nil {
		return one, err
	}
	var ok bool
	if one.number, ok = serialOf(number.content); !ok {
		return one, errors.New("its serial number is none")
	}
	since, err := readTime(rest)
	one.since = since.Unix()
	return one, err
}

// readTime reads the Time that der begins with, in the two forms of RFC 5280.
func readTime(der []byte) (time.Time, error) {
	if len(der) > 0 && der[0] == asn1.TagUTCTime {
		t, _, err := cut(der, asn1.TagUTCTime)
		if err != nil {
			return time.Time{}, err
		}
		at, err := time.Parse("060102150405Z", string(t.content))
		if at.Year() >= 2050 { // it is of the century before
			at = at.AddDate(-100, 0, 0)
		}
		return at, err
	}
	t, _, err := cut(der, asn1.TagGeneralizedTime)
	if err != nil {
		return time.Time{}, err
	}
	return time.Parse("20060102150405Z", string(t.content))
}
