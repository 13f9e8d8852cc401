package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// config is the configuration, every value in its place.
type config struct {
	addresses               []address
	connect, answer, oldest time.Duration
	maxSize                 int64 // bytes
}

// address is where a clamd listens.
type address struct{ network, path string }

// String is the address as it is configured.
func (a address) String() string { return a.network + ":" + a.path }

// settings are what the schema describes.
type settings struct {
	Addresses       []string        `json:"addresses"`
	ConnectTimeout  string          `json:"connect_timeout"`
	AnswerTimeout   string          `json:"answer_timeout"`
	MaxSize         json.RawMessage `json:"max_size"`
	MaxSignatureAge string          `json:"max_signature_age"`
}

// config fills in what is not written. The host has validated the rest.
func (s settings) config() (config, error) {
	c := config{connect: 5 * time.Second, oldest: 3 * 24 * time.Hour, maxSize: 150 << 20}
	if s.Addresses == nil {
		s.Addresses = []string{"unix:/run/clamav/clamd.ctl"}
	}
	for _, written := range s.Addresses {
		network, path, _ := strings.Cut(written, ":")
		c.addresses = append(c.addresses, address{network, path})
	}
	for _, d := range []struct {
		key, written string
		into         *time.Duration
	}{
		{"connect_timeout", s.ConnectTimeout, &c.connect},
		{"answer_timeout", s.AnswerTimeout, &c.answer},
		{"max_signature_age", s.MaxSignatureAge, &c.oldest},
	} {
		if d.written == "" {
			continue
		}
		var err error
		if *d.into, err = parseDuration(d.written); err != nil {
			return c, fmt.Errorf("%s is %q, not a duration; write 5s, 1m, 48h or 3d", d.key, d.written)
		}
	}
	if len(s.MaxSize) > 0 {
		n, err := parseSize(strings.Trim(string(s.MaxSize), `"`))
		if err != nil || n <= 0 {
			return c, fmt.Errorf("max_size is %s, not a size; write bytes, or 150 MB", s.MaxSize)
		}
		c.maxSize = n
	}
	return c, nil
}

// parseDuration knows days as well.
func parseDuration(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.Atoi(days)
		return time.Duration(n) * 24 * time.Hour, err
	}
	return time.ParseDuration(s)
}

func parseSize(s string) (int64, error) {
	unit := int64(1)
	for name, bytes := range map[string]int64{"KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30} {
		if number, ok := strings.CutSuffix(s, name); ok {
			s, unit = strings.TrimSpace(number), bytes
		}
	}
	n, err := strconv.ParseInt(s, 10, 32)
	return n * unit, err
}
