// Package mtatest runs a real, private Postfix for the tests of the milter: two listeners with a milter each, a login
// server, and an LMTP sink that keeps what arrives, byte for byte.
//
// It is no part of the product and does not stand for the configuration that we ship: that is deploy/postfix.
package mtatest
