package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// settings are what the schema describes; defaults are filled in by config.
type settings struct {
	State    string           `json:"state"`
	Rules    string           `json:"rules"`
	TimeZone string           `json:"time_zone"`
	GiveUp   string           `json:"give_up"`
	Workers  int              `json:"workers"`
	Gateway  *gatewaySettings `json:"gateway"`
	Smstools *spoolSettings   `json:"smstools"`
	Mail     *mailSettings    `json:"mail"`
}

// config is the configuration, every value in its place.
type config struct {
	state, rules string
	zone         *time.Location
	giveUp       time.Duration
	workers      int
	sms, mail    channel // nil when not configured
}

func (s settings) config() (config, error) {
	c := config{state: or(s.State, "/var/lib/ceralacca-sms"), workers: s.Workers}
	c.rules = or(s.Rules, filepath.Join(c.state, "rules.json"))
	if c.workers == 0 {
		c.workers = 8
	}
	var err error
	if c.zone, err = time.LoadLocation(or(s.TimeZone, "Europe/Rome")); err != nil {
		return c, fmt.Errorf("time_zone is %q, which is no time zone; write one as Europe/Rome", s.TimeZone)
	}
	if c.giveUp, err = duration("give_up", s.GiveUp, 3*24*time.Hour); err != nil {
		return c, err
	}
	if s.Gateway != nil && s.Smstools != nil {
		return c, errors.New("both [gateway] and [smstools] are written; an SMS goes one way: take one out")
	}
	if s.Gateway != nil {
		if c.sms, err = newGateway(*s.Gateway); err != nil {
			return c, err
		}
	}
	if s.Smstools != nil {
		if c.sms, err = newSpool(*s.Smstools); err != nil {
			return c, err
		}
	}
	if s.Mail != nil {
		if c.mail, err = newMailer(*s.Mail); err != nil {
			return c, err
		}
	}
	if c.sms == nil && c.mail == nil {
		return c, errors.New("there is no way to send anything; write [gateway], [smstools] or [mail]")
	}
	return c, nil
}

func or(written, otherwise string) string {
	if written == "" {
		return otherwise
	}
	return written
}

// duration knows days as well. The key is for the fault.
func duration(key, written string, otherwise time.Duration) (time.Duration, error) {
	if written == "" {
		return otherwise, nil
	}
	text, factor := written, 1
	if days, ok := strings.CutSuffix(written, "d"); ok {
		text, factor = days+"h", 24
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%s is %q, not a duration; write 30s, 10m, 12h or 3d", key, written)
	}
	return d * time.Duration(factor), nil
}

// digits says whether all of a text are.
func digits(s string) bool {
	_, err := strconv.ParseUint(s, 10, 64)
	return err == nil
}
