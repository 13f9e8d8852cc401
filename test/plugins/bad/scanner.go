package main

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/ceralacca/ceralacca/plugins"
)

const places = 8 // of those that run out of them

func opener(fault string) func(context.Context, plugins.Setup) (plugins.Scanner, error) {
	return func(context.Context, plugins.Setup) (plugins.Scanner, error) {
		if fault == "litter" {
			if err := lock(); err != nil {
				return nil, err
			}
		}
		return &scanner{fault: fault, places: make(chan struct{}, places)}, nil
	}
}

// scanner finds EICAR, but for its fault.
type scanner struct {
	fault  string
	places chan struct{}
}

// Health implements plugins.Healther.
func (s *scanner) Health() plugins.Health {
	if s.fault == "ill" {
		return plugins.Health{Problem: "I do not feel well"}
	}
	return plugins.Health{}
}

// Scan implements plugins.Scanner.
func (s *scanner) Scan(ctx context.Context, c *plugins.Content) (plugins.Result, error) {
	r := plugins.Result{Verdict: plugins.Clean, Engine: s.fault}
	switch s.fault {
	case "single":
		select {
		case s.places <- struct{}{}:
			defer func() { <-s.places }()
		default:
			return r, errors.New("busy")
		}
	case "deaf", "tardy":
		s.places <- struct{}{}
		defer func() { <-s.places }()
	}
	data, err := s.read(c)
	if err != nil {
		s.linger(ctx)
		return r, err
	}
	if s.fault != "blind" && bytes.Contains(data, []byte("EICAR-STANDARD-ANTIVIRUS-TEST-FILE")) {
		r.Verdict, r.Virus = plugins.Infected, "EICAR"
	}
	return r, nil
}

// read returns the first bytes; glutton all.
func (s *scanner) read(c *plugins.Content) ([]byte, error) {
	if s.fault == "glutton" {
		return io.ReadAll(c)
	}
	head, err := io.ReadAll(io.LimitReader(c, 1<<10))
	if err == nil {
		_, err = io.Copy(io.Discard, c)
	}
	if s.fault == "single" {
		<-pause() // so that calls at once are in fact at once
	}
	return head, err
}

// linger keeps the place of a call that was given up: deaf when the host cancelled it, tardy when its deadline passed.
func (s *scanner) linger(ctx context.Context) {
	_, timed := ctx.Deadline()
	if s.fault == "deaf" && !timed && ctx.Err() != nil || s.fault == "tardy" && timed && ctx.Err() != nil {
		select {}
	}
}
