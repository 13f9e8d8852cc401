package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/template"
	"unicode"
)

// texts are templates by class, and that of the subject of mail.
type texts map[string]*template.Template

// facts are what a template may say. Nothing of a message is among them.
type facts struct {
	Count   int    // of events
	Mailbox string // its address
	Label   string // what the rule calls it
	Percent int    // of its space
	Days    int    // until it is full
}

const maxText = 459 // characters: three parts of an SMS

// newTexts are the default ones, with those that somebody wrote in their place.
func newTexts(own map[string]string) (texts, error) {
	var all map[string]string
	if err := json.Unmarshal(defaultTexts, &all); err != nil {
		return nil, err
	}
	for name, text := range own {
		if all[name] == "" {
			return nil, fmt.Errorf("texts: %q is none; write of mail, quota, fill, test, subject", name)
		}
		all[name] = text
	}
	out := texts{}
	for name, text := range all {
		t, err := template.New(name).Parse(text)
		if err != nil {
			return nil, fmt.Errorf("texts: %s: %w", name, err)
		}
		out[name] = t
		if _, err := out.say(name, facts{Count: 2, Mailbox: "a@b.example", Percent: 80, Days: 3}); err != nil {
			return nil, fmt.Errorf("texts: %s: %w", name, err)
		}
	}
	return out, nil
}

// say makes one line of at most maxText characters.
func (t texts) say(name string, f facts) (string, error) {
	var b strings.Builder
	if err := t[name].Execute(&b, f); err != nil {
		return "", err
	}
	line := strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, b.String())), " ")
	if n := len([]rune(line)); n == 0 || n > maxText {
		return "", fmt.Errorf("it has %d characters; write 1 to %d", n, maxText)
	}
	return line, nil
}
