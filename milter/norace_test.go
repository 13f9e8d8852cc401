//go:build !race

package milter

const underRace = false
