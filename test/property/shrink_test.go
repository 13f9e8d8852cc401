package property

import (
	"slices"
	"testing"
)

func TestShrinkLeavesWhatIsNeeded(t *testing.T) {
	walk := make([]int, 500)
	for n := range walk {
		walk[n] = n
	}
	asked := 0
	fails := func(w []int) bool {
		asked++
		return slices.ContainsFunc(w, func(n int) bool { return n >= 400 }) && slices.Contains(w, 7) && len(w) >= 2
	}
	simpler := func(n int) []int {
		if n > 400 {
			return []int{400, n - 1}
		}
		return nil
	}
	if got := Shrink(walk, fails, simpler, 5000); !slices.Equal(got, []int{7, 400}) {
		t.Errorf("got %v, want [7 400]", got)
	}
	asked = 0
	got := Shrink(walk, fails, simpler, 10)
	if asked > 10 || !fails(got) {
		t.Errorf("asked %d times for 10, and got %d steps", asked, len(got))
	}
}
