package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync"
	"time"
)

// parcel is what a channel takes to one number or address.
type parcel struct {
	id      string // the same each time
	to      string
	text    string
	subject string // for mail
	made    time.Time
}

// answer is what became of a parcel. The zero value is: nobody knows.
type answer int

const (
	perhaps answer = iota // the other side may have it
	taken                 // it has it
	never                 // it will not take it, now or later
	later                 // it does not have it; it may take it later
)

// channel is a way to send. It is safe for concurrent use.
type channel interface {
	// name is for logs, measures and status.
	name() string
	// prepare makes ready what is kept by the other side's file system; state is what is on the disk about it.
	prepare(p parcel) error
	// before is the state that MUST be on the disk before send.
	before() legState
	// send tries once. With resumed it was tried before, and nobody knows what became of it.
	send(ctx context.Context, p parcel, resumed bool) (answer, error)
	// once says that what may have been sent is not to be sent again.
	once() bool
}

// disbelieved says what to do about a certificate that is not believed, in the section of a channel; nil for another error.
func disbelieved(section string, err error) error {
	var c *tls.CertificateVerificationError
	if !errors.As(err, &c) {
		return nil
	}
	return fmt.Errorf("nothing was sent, for the server's certificate is not to be believed: %w; if it is the right one, "+
		"name the file of its authority in ca_file of [%s]", c.Err, section)
}

// hide takes out of an error what belongs into no log, as it is and as it stands in an address.
func hide(err error, words ...string) error {
	text := err.Error()
	for _, word := range words {
		for _, form := range []string{word, inURL(word), url.QueryEscape(word)} {
			if form != "" {
				text = strings.ReplaceAll(text, form, "…")
			}
		}
	}
	if text == err.Error() {
		return err
	}
	return errors.New(text)
}

// Bounds of the repetition.
const (
	firstPause = 20 * time.Second
	lastPause  = 30 * time.Minute
	firstProbe = 5 * time.Second
	lastProbe  = 5 * time.Minute
	tolerated  = 3 // failures in a row before the channel is left alone
)

// pause is how long to wait after so many tries: twice as long each time, within bounds, and no two alike.
func pause(tries int, first, last time.Duration) time.Duration {
	d := last
	if tries < 20 {
		d = min(first<<max(tries-1, 0), last)
	}
	return d/2 + rand.N(d/2+1)
}

// breaker leaves a channel alone that does not work, and lets one try pass now and then.
type breaker struct {
	mu      sync.Mutex
	fails   int
	since   time.Time // of the first failure in a row
	until   time.Time // when one try may pass
	probing bool
	why     string
}

// allow says whether a try may pass now; otherwise, when to ask again.
func (b *breaker) allow(now time.Time) (bool, time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.fails < tolerated:
		return true, now
	case b.probing:
		return false, now.Add(firstProbe)
	case now.Before(b.until):
		return false, b.until
	}
	b.probing = true
	return true, now
}

// result counts a try. A refusal is an answer: the channel works.
func (b *breaker) result(now time.Time, works bool, why error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.probing = false
	if works {
		b.fails, b.why = 0, ""
		return
	}
	if b.fails == 0 {
		b.since = now
	}
	b.fails++
	if why != nil {
		b.why = why.Error()
	}
	b.until = now.Add(pause(b.fails-tolerated+1, firstProbe, lastProbe))
}

// problem says since when the channel does not work, and why; empty while it does.
func (b *breaker) problem() (why string, since time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fails < tolerated {
		return "", time.Time{}
	}
	return b.why, b.since
}
