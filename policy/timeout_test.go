package policy_test

import (
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/policy"
)

// The cases of RFC 6109 3.1.6 as what is known when the two terms end.
func TestNoticeDue(t *testing.T) {
	conformance.Covers(t, "C088", "C089", "C090", "C091", "C092", "C100")
	for _, test := range []struct {
		known       policy.Known
		first, last bool
	}{
		{policy.Known{}, true, true},
		{policy.Known{Taken: true}, false, true},
		{policy.Known{Final: true}, false, false},
		{policy.Known{Taken: true, Final: true}, false, false},
	} {
		if first, last := policy.NoticeDue(false, test.known), policy.NoticeDue(true, test.known); first != test.first || last != test.last {
			t.Errorf("%+v: first %v, last %v; want %v, %v", test.known, first, last, test.first, test.last)
		}
	}
	if policy.FirstNotice != 12*time.Hour || policy.LastNotice < 22*time.Hour || policy.LastNotice >= policy.LastLimit || policy.LastLimit != 24*time.Hour {
		t.Error("the terms are not those of the rules")
	}
}
