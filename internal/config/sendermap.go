package config

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/ceralacca/ceralacca/pec"
)

// SenderMap says which logins may send as which addresses, beyond the one that each login is. Keys are logins as they
// authenticate; addresses are folded. Its zero value gives nobody anything more. It is not changed after loading.
type SenderMap map[string][]pec.Address

// May says whether login may send as a.
func (m SenderMap) May(login string, a pec.Address) bool {
	return slices.Contains(m[login], a.Fold())
}

// LoadSenderMap reads the file of the key submission.sender_map: lines "login address address …", of which empty ones
// and what follows # do not count. The error is of type [Faults] when a line is wrong, otherwise that of reading.
func LoadSenderMap(path string) (SenderMap, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return parseSenderMap(path, data)
}

func parseSenderMap(path string, data []byte) (SenderMap, error) {
	m, faults := SenderMap{}, Faults(nil)
	for i, line := range strings.Split(string(data), "\n") {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if wrong := m.add(words); wrong != "" {
			faults = append(faults, Fault{path, i + 1, 1, wrong, words[0] + " box@alfa.example"})
		}
	}
	if len(faults) > 0 {
		return nil, faults
	}
	return m, nil
}

func (m SenderMap) add(words []string) (wrong string) {
	login := words[0]
	if len(words) == 1 {
		return fmt.Sprintf("login %q has no address", login)
	}
	for _, word := range words[1:] {
		a, err := pec.ParseAddress(word)
		if err != nil || a.IsZero() {
			return fmt.Sprintf("%q of login %q is not an address", word, login)
		}
		m[login] = append(m[login], a.Fold())
	}
	return ""
}
