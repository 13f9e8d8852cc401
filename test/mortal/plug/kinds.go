package main

import (
	"context"
	"io"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/ceralacca/ceralacca/plugins"
)

// virus is what the test writes into a message that is infected.
const virus = "MORTAL-VIRUS"

// Scan implements plugins.Scanner.
func (m *mortal) Scan(_ context.Context, c *plugins.Content) (plugins.Result, error) {
	sum, head, err := m.work(c)
	if err != nil {
		return plugins.Result{}, err
	}
	r := plugins.Result{Verdict: plugins.Clean, Engine: "mortal 1"}
	if strings.Contains(head, virus) {
		r.Verdict, r.Virus = plugins.Infected, virus
	}
	err = m.tell("%s %x", r.Verdict, sum)
	linger()
	return r, err
}

// linger lets some die after they have found out and before they have said it.
func linger() { time.Sleep(rand.N(3 * time.Millisecond)) }

// Notify implements plugins.Notifier.
func (m *mortal) Notify(_ context.Context, e plugins.Event) (plugins.Effect, error) {
	if _, _, err := m.work(nil); err != nil {
		return plugins.Effect{}, err
	}
	err := m.tell("done %s %s %s 0 -", e.Mailbox, e.Key, e.Name)
	linger()
	return plugins.Effect{Outcome: plugins.Done, Reference: e.Key}, err
}

// Deposit implements plugins.Depositor.
func (m *mortal) Deposit(_ context.Context, b plugins.Bundle, c *plugins.Content) (plugins.Effect, error) {
	sum, _, err := m.work(c)
	if err != nil {
		return plugins.Effect{}, err
	}
	err = m.tell("done %s %s %s %d %x", b.Mailbox, b.Key, b.Event, b.Size, sum)
	linger()
	return plugins.Effect{Outcome: plugins.Done, Reference: b.Key}, err
}

// Status implements plugins.Depositor.
func (m *mortal) Status(_ context.Context, key string) (plugins.State, plugins.Effect, error) {
	return plugins.Kept, plugins.Effect{Reference: key}, nil
}

// Usage implements plugins.Depositor.
func (m *mortal) Usage(context.Context, string) (plugins.Usage, error) { return plugins.Usage{}, nil }

// Exhibit implements plugins.Depositor.
func (m *mortal) Exhibit(context.Context, string) (plugins.Bundle, io.ReadCloser, bool, error) {
	return plugins.Bundle{}, nil, false, nil
}
