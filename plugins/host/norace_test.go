//go:build !race

package host_test

// race says whether the race detector is at work, which takes memory of its own.
const race = false
