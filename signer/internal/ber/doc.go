// Package ber turns BER into DER as far as lengths and octet strings go, within bounds of size, depth and number, and
// without recursion. It does not judge values.
package ber
