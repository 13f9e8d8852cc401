package policy

import (
	"regexp"
	"strings"
	"unicode"

	"github.com/ceralacca/ceralacca/pec"
)

// Infected names the failure that a virus is, in the form of all failures, with the name of what was found at its end:
// the provider that reads it makes its own notice of it. [C065] [C149] [C155]
func Infected(provider, virus string) Failure {
	cause := pec.CauseVirus.Italian() + ": " + virus
	return Failure{Error: pec.ErrorVirus, Short: virus, Detail: codeVirus + " - " + provider + " - " + cause}
}

// maxVirus is how much of a foreign text is repeated to a user, in characters.
const maxVirus = 200

// failureForm is "code - provider - cause", as the rules have it, or with commas, as one provider writes it.
var failureForm = regexp.MustCompile(`^\d\.\d{1,3}\.\d{1,3}\s*(?:-\s.*?\s-|,.*,)\s*(.+)$`)

// VirusOf reads what was found out of the error text of another provider's notice: one line of printable characters, not
// longer than a name should be. A notice that says nothing gets words that say so. [C155] [C156]
func VirusOf(detail string) string {
	text := plainLine(detail)
	if _, rest, found := strings.Cut(text, pec.CauseVirus.Italian()); found {
		text = rest
	} else if m := failureForm.FindStringSubmatch(text); m != nil {
		text = m[1]
	}
	text = strings.TrimSpace(strings.TrimPrefix(text, ":"))
	if !strings.ContainsFunc(text, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }) {
		return pec.UnnamedVirus
	}
	if r := []rune(text); len(r) > maxVirus {
		text = string(r[:maxVirus]) + "…"
	}
	return text
}

// plainLine leaves nothing but printable characters and single spaces.
func plainLine(s string) string {
	visible := strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) && r != unicode.ReplacementChar {
			return r
		}
		return ' '
	}, s)
	return strings.Join(strings.Fields(visible), " ")
}
