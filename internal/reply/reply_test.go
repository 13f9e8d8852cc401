package reply

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/ceralacca/ceralacca/pec"
)

const later = "451 4.3.0"

// wants are the codes that peers and issue 2 count on, of every kind at every door.
var wants = map[pec.ErrorKind][2]string{ // milter, LMTP
	pec.ErrorTemporary:       {later, later},
	pec.ErrorFormal:          {"554 5.6.0", later},
	pec.ErrorUnauthenticated: {"530 5.7.0", later},
	pec.ErrorSender:          {"553 5.7.1", later},
	pec.ErrorPath:            {"501 5.1.3", later},
	pec.ErrorForbidden:       {"550 5.7.1", "550 5.7.1"},
	pec.ErrorTooLarge:        {"552 5.3.4", later},
	pec.ErrorUncertified:     {"550 5.7.1", "550 5.7.1"},
	pec.ErrorMixed:           {"452 4.5.3", later},
	pec.ErrorUnknownMailbox:  {"550 5.1.1", "550 5.1.1"},
	pec.ErrorMailboxFull:     {"552 5.2.2", "552 5.2.2"},
	pec.ErrorMailboxDisabled: {"550 5.2.1", "550 5.2.1"},
	pec.ErrorUntrusted:       {"550 5.7.1", "550 5.7.1"},
	pec.ErrorBusy:            {later, later},
	pec.ErrorNotFound:        {later, later},
	pec.ErrorInfected:        {"550 5.7.1", later},
}

// forms are the ways in which an error arrives here.
func forms(kind pec.ErrorKind) map[string]error {
	bare := &pec.Error{Op: "test: do", ID: "id@alfa.example", Kind: kind, Err: io.ErrUnexpectedEOF}
	return map[string]error{
		"bare":          bare,
		"without cause": &pec.Error{Op: "test", Kind: kind},
		"wrapped":       fmt.Errorf("outer: %w", bare),
		"wrapped twice": fmt.Errorf("outer: %w", fmt.Errorf("inner: %w", bare)),
		"joined alone":  errors.Join(bare),
		"joined alike":  errors.Join(bare, fmt.Errorf("x: %w", &pec.Error{Kind: kind})),
	}
}

func TestEveryKindAtEveryDoor(t *testing.T) {
	kinds := 0
	for kind := pec.ErrorKind(0); !strings.HasPrefix(kind.String(), "kind "); kind++ {
		kinds++
		want, ok := wants[kind]
		if !ok {
			t.Errorf("no reply is expected of the kind %q: add it here and to the table", kind)
		}
		for door, code := range want {
			for name, err := range forms(kind) {
				got := For(err, Door(door))
				if !strings.HasPrefix(got.String(), code+" ") || got.Temporary() != strings.HasPrefix(code, "4") {
					t.Errorf("%s (%s) at door %d: %q, want %s", kind, name, door, got, code)
				}
				checkText(t, got)
			}
		}
	}
	if kinds != len(wants) {
		t.Errorf("%d kinds, %d expected", kinds, len(wants))
	}
}

// checkText: a peer gets a fixed text of one line that says nothing of the inside.
func checkText(t *testing.T, r Reply) {
	t.Helper()
	if r.Text == "" || len(r.Text) > 80 || strings.ContainsFunc(r.Text, func(c rune) bool { return c < ' ' || c > '~' }) {
		t.Errorf("%q is no text for a peer", r.Text)
	}
	for _, inside := range []string{"test", "alfa", "EOF"} {
		if strings.Contains(r.Text, inside) {
			t.Errorf("%q tells the peer of the inside", r.Text)
		}
	}
	if r.Enhanced[0] != r.Code/100 {
		t.Errorf("%q: the two codes are of different classes", r)
	}
}

// What nobody classified, or about which several errors disagree, never becomes permanent.
func TestUnknownMeansTemporary(t *testing.T) {
	unknown := &pec.Error{Op: "x", Kind: pec.ErrorUnknownMailbox}
	for name, err := range map[string]error{
		"nil": nil, "plain": errors.New("x"), "of the system": io.EOF, "cancelled": context.Canceled,
		"wrapped plain": fmt.Errorf("x: %w", io.EOF), "a kind to come": &pec.Error{Kind: 999},
		"a negative kind":                        &pec.Error{Kind: -1},
		"a permanent cause of a temporary error": &pec.Error{Op: "y", Err: unknown},
		"joined with a plain one":                errors.Join(unknown, io.EOF),
		"a plain one joined with it":             fmt.Errorf("%w: %w", io.EOF, unknown),
		"joined with another kind":               errors.Join(unknown, &pec.Error{Kind: pec.ErrorForbidden}),
	} {
		for _, door := range []Door{DoorMilter, DoorLMTP} {
			if got := For(err, door); got.Code != 451 || got.Enhanced != [3]int{4, 3, 0} {
				t.Errorf("%s at door %d: %q, want %s", name, door, got, later)
			}
		}
	}
}
