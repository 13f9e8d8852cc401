//go:build !race

package lda

// raced says that the race detector is on.
const raced = false
