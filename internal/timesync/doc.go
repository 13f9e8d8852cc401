// Package timesync watches whether the host's clock may be certified by: whether the kernel calls it synchronised, how
// far it may be from UTC, and whether somebody has set it. It sets no clock, and asks no time server.
package timesync
