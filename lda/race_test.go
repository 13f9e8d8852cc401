//go:build race

package lda

// raced says that the race detector is on, under which a walk costs ten times as much.
const raced = true
