//go:build race

package milter

// underRace says that memory is no measure: the race detector shadows it.
const underRace = true
