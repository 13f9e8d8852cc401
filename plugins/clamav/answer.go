package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/ceralacca/ceralacca/plugins"
)

// errLimit says that clamd left something out because of a limit of its own.
var errLimit = errors.New("clamd did not read everything")

// errAnswer says that clamd could not do it, in its own words.
var errAnswer = errors.New("clamd could not look at it")

// release is what clamd says that it is.
type release struct {
	engine, signatures string
	made               time.Time // zero when it has no daily signatures
}

var versionForm = regexp.MustCompile(`^(ClamAV [!-.0-~]+)(?:/([0-9]+)/(.+))?$`)

// parseVersion reads "ClamAV ENGINE", and "/SIGNATURES/TIME" behind it when there is a database called daily. The time is
// that of clamd's host, which does not say its zone: we take ours.
func parseVersion(s string) (release, error) {
	m := versionForm.FindStringSubmatch(s)
	if m == nil {
		return release{}, fmt.Errorf("%w: it answers VERSION with %q", errBroken, clip(s))
	}
	v := release{engine: m[1], signatures: m[2]}
	if m[2] == "" {
		return v, nil
	}
	made, err := time.ParseInLocation(time.ANSIC, m[3], time.Local)
	if err != nil {
		return v, fmt.Errorf("%w: it says that its signatures are of %q", errBroken, clip(m[3]))
	}
	v.made = made
	return v, nil
}

// The names by which clamd says that something could not be looked into.
const (
	encryptedPrefix = "Heuristics.Encrypted."
	limitPrefix     = "Heuristics.Limits.Exceeded"
	maxName         = 256 // bytes
)

// judge makes a verdict of an answer. What is neither clean, nor a finding, is an error.
func judge(answer string) (verdict plugins.Verdict, virus string, err error) {
	rest, ok := strings.CutPrefix(answer, "stream: ")
	name, found := strings.CutSuffix(rest, " FOUND")
	switch {
	case rest == "OK" && ok:
		return plugins.Clean, "", nil
	case !ok || !found || strings.TrimSpace(name) == "":
		return plugins.Unscanned, "", refusal(answer)
	case strings.HasPrefix(name, limitPrefix):
		return plugins.Unscanned, "", fmt.Errorf("%w: %q", errLimit, clip(name))
	case strings.HasPrefix(name, encryptedPrefix):
		return plugins.Encrypted, "", nil
	}
	return plugins.Infected, printable(name), nil
}

// refusal is the error of an answer that is no verdict.
func refusal(answer string) error {
	if strings.Contains(answer, "size limit exceeded") {
		return fmt.Errorf("%w: %q: StreamMaxLength in its clamd.conf is too small", errLimit, clip(answer))
	}
	return fmt.Errorf("%w: %q", errAnswer, clip(answer))
}

// printable is a name as the contract wants it.
func printable(name string) string {
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, strings.TrimSpace(name))
	return strings.TrimSpace(name[:min(len(name), maxName)])
}

// clip shortens what came from outside.
func clip(s string) string { return s[:min(len(s), 200)] }
