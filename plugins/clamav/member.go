package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
)

// member is a clamd and what we know of it. It is safe for concurrent use.
type member struct {
	clamd
	log  *slog.Logger
	gate chan struct{} // holds one: who proves it

	mu     sync.Mutex
	proved bool
	fault  error   // why it cannot be asked; nil when it can
	size   error   // why it does not take what it should; nil when it does, or was not asked
	sized  bool    // size is known
	seen   release // what it said last
}

// ready says which engine it is, and that it can be asked now.
func (m *member) ready(ctx context.Context) (release, error) {
	v, err := m.version(ctx)
	if err == nil {
		err = m.proof(ctx)
	}
	m.note(ctx, v, err)
	return v, err
}

// proof proves it once, whoever asks.
func (m *member) proof(ctx context.Context) error {
	select {
	case m.gate <- struct{}{}:
		defer func() { <-m.gate }()
	case <-ctx.Done():
		return ctx.Err()
	}
	m.mu.Lock()
	proved := m.proved
	m.mu.Unlock()
	if proved {
		return nil
	}
	err := m.prove(ctx)
	m.mu.Lock()
	m.proved = err == nil
	m.mu.Unlock()
	return err
}

// doubt makes the next who asks prove it again.
func (m *member) doubt() {
	m.mu.Lock()
	m.proved = false
	m.mu.Unlock()
}

// note remembers how it is. That the caller gave up says nothing about it.
func (m *member) note(ctx context.Context, v release, err error) {
	if err != nil && ctx.Err() != nil {
		return
	}
	m.mu.Lock()
	before := m.fault
	m.fault = err
	if err != nil {
		m.proved, m.sized = false, false // whoever comes back may be another
	}
	told := m.seen.engine != ""
	if v.engine != "" {
		m.seen = v
	}
	m.mu.Unlock()
	switch {
	case err != nil && (before == nil || before.Error() != err.Error()):
		m.log.Error("clamd cannot be asked", slog.Any("error", err))
	case err == nil && (before != nil || !told):
		m.log.Info("clamd answers", slog.String("address", m.address.String()), slog.String("engine", v.engine), slog.String("signatures", v.signatures))
		if v.made.IsZero() {
			m.log.Warn("clamd has no daily signatures, so that their age is not known: see to freshclam", slog.String("address", m.address.String()))
		}
	}
}

// look streams content and remembers when the clamd was lost over it.
func (m *member) look(ctx context.Context, content io.Reader) (string, error) {
	answer, err := m.stream(ctx, content)
	if errors.Is(err, errDown) || errors.Is(err, errBroken) || errors.Is(err, errSlow) {
		m.note(ctx, release{}, err)
	}
	return answer, err
}

// measure finds out whether it takes messages of a size, once.
func (m *member) measure(ctx context.Context, size int64) {
	m.mu.Lock()
	due := !m.sized && m.fault == nil
	m.mu.Unlock()
	if !due {
		return
	}
	err := m.takes(ctx, size)
	m.mu.Lock()
	m.size, m.sized = err, true
	m.mu.Unlock()
	if err != nil {
		m.log.Error("clamd is too small", slog.Any("error", err))
	}
}

// state is a copy of what we know.
func (m *member) state() (seen release, fault, size error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.seen, m.fault, m.size
}

// usable says whether the last that we heard of it was good.
func (m *member) usable() bool {
	_, fault, _ := m.state()
	return fault == nil
}

// errUnasked is the fault of a clamd before it was asked.
var errUnasked = fmt.Errorf("it %w yet", errDown)
