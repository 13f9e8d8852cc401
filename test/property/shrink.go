package property

import "slices"

// Shrink returns a shortest walk it can find that still fails: it leaves out ever smaller pieces, and then makes single
// steps simpler. fails MUST give the same answer for the same walk; it is asked at most tries times. simpler returns
// simpler forms of a step, best first; it may be nil.
func Shrink[S any](walk []S, fails func([]S) bool, simpler func(S) []S, tries int) []S {
	s := &shrinker[S]{fails: fails, left: tries}
	for {
		before := len(walk)
		for size := max(len(walk)/2, 1); size >= 1; size /= 2 {
			walk = s.without(walk, size)
		}
		changed := false
		if simpler != nil {
			walk, changed = s.simpler(walk, simpler)
		}
		if s.left <= 0 || len(walk) == before && !changed {
			return walk
		}
	}
}

type shrinker[S any] struct {
	fails func([]S) bool
	left  int
}

func (s *shrinker[S]) ask(walk []S) bool {
	if s.left <= 0 {
		return false
	}
	s.left--
	return s.fails(walk)
}

// without leaves out pieces of a size, from the end: what comes late is seldom needed.
func (s *shrinker[S]) without(walk []S, size int) []S {
	for at := len(walk) - size; at >= 0; at -= size {
		shorter := slices.Delete(slices.Clone(walk), at, at+size)
		if s.ask(shorter) {
			walk = shorter
		}
		at = min(at, len(walk))
	}
	return walk
}

func (s *shrinker[S]) simpler(walk []S, simpler func(S) []S) ([]S, bool) {
	changed := false
	for n := range walk {
		for _, form := range simpler(walk[n]) {
			other := slices.Clone(walk)
			other[n] = form
			if s.ask(other) {
				walk, changed = other, true
				break
			}
		}
	}
	return walk, changed
}
