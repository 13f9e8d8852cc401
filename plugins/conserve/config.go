package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/imap"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/intake"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/pack"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/sincro"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/stamp"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/store"
	"github.com/ceralacca/ceralacca/signer"
)

// settings are what the schema describes.
type settings struct {
	Folder           string          `json:"folder"`
	Owner            string          `json:"owner"`
	OwnerID          string          `json:"owner_id"`
	Manual           string          `json:"manual"`
	Certificate      string          `json:"certificate"`
	Key              string          `json:"key"`
	Signers          string          `json:"signers"`
	StampURL         string          `json:"stamp_url"`
	StampAuthorities string          `json:"stamp_authorities"`
	StampTimeout     string          `json:"stamp_timeout"`
	StoreDirectory   string          `json:"store_directory"`
	Keep             string          `json:"keep"`
	Space            json.RawMessage `json:"space"`
	Mailboxes        map[string]rule `json:"mailboxes"`
	Warn             []int           `json:"warn"`
	Delay            string          `json:"delay"`
	LabClock         string          `json:"lab_clock"`

	IMAP             string `json:"imap"`
	IMAPAuthorities  string `json:"imap_authorities"`
	IMAPMaster       string `json:"imap_master"`
	IMAPPasswordFile string `json:"imap_password_file"`
	IMAPSeparator    string `json:"imap_separator"`
}

// rule is what is written for one mailbox.
type rule struct {
	Keep  string          `json:"keep"`
	Space json.RawMessage `json:"space"`
}

// sent are the events of who sends, received those of who receives.
func isSent(event string) bool {
	return slices.Contains([]string{"submitted", "accepted", "non-acceptance", "delivery", "non-delivery", "notice"}, event)
}

func isReceived(event string) bool { return slices.Contains([]string{"delivered", "anomaly"}, event) }

// keeps says whether an event of a mailbox is kept. An event that is not known is, unless the mailbox is off: a later host
// may have kinds that we do not know, and what was not kept is lost.
func (s settings) keeps(mailbox, event string) bool {
	event = strings.TrimPrefix(event, intake.Imported)
	switch s.kept(mailbox) {
	case "off":
		return false
	case "sent":
		return !isReceived(event)
	case "received":
		return !isSent(event)
	default:
		return true
	}
}

// kept is the rule of a mailbox.
func (s settings) kept(mailbox string) string {
	if own := s.Mailboxes[mailbox].Keep; own != "" {
		return own
	}
	return s.Keep
}

// limit is the space of a mailbox in bytes, 0 without one. check has seen that it can be read.
func (s settings) limit(mailbox string) int64 {
	space := s.Space
	if own := s.Mailboxes[mailbox].Space; len(own) > 0 {
		space = own
	}
	n, _ := parseSpace(space) // checked at the start
	return n
}

func parseSpace(written json.RawMessage) (int64, error) {
	text := strings.Trim(string(written), `"`)
	if text == "" {
		return 0, nil
	}
	shift := 0
	for i, unit := range []string{"KB", "MB", "GB", "TB"} {
		if number, ok := strings.CutSuffix(text, unit); ok {
			text, shift = strings.TrimSpace(number), 10*(i+1)
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > (1<<62)>>shift {
		return 0, fmt.Errorf("space is %s, not a size; write bytes, or 10 GB", written)
	}
	return n << shift, nil
}

// check fills in what is not written and looks at what the schema cannot.
func (s *settings) check() error {
	if s.Warn == nil {
		s.Warn = []int{80, 90, 95}
	}
	slices.Sort(s.Warn)
	for text, preset := range map[*string]string{&s.StampTimeout: "30s", &s.Delay: "30m", &s.Keep: "both", &s.IMAPSeparator: "*"} {
		if *text == "" {
			*text = preset
		}
	}
	if s.Manual == "" {
		s.Manual = "Manuale di conservazione di " + s.Owner
	}
	if s.OwnerID != "" && !sincro.GoodID(s.OwnerID) {
		return fmt.Errorf("owner_id is %q, not an identifier as the standard allows; write VATIT- and the VAT number, or TINIT- and the tax code", s.OwnerID)
	}
	if _, err := parseSpace(s.Space); err != nil {
		return err
	}
	if s.IMAP != "" {
		if _, err := imap.Parse(s.IMAP, nil); err != nil {
			return fmt.Errorf("imap: %w", err)
		}
	}
	for mailbox, r := range s.Mailboxes {
		if _, err := parseSpace(r.Space); err != nil {
			return fmt.Errorf("mailboxes.%q: %w", mailbox, err)
		}
	}
	for key, text := range map[string]string{"stamp_timeout": s.StampTimeout, "delay": s.Delay} {
		if _, err := time.ParseDuration(text); err != nil {
			return fmt.Errorf("%s is %q, not a duration; write 30s or 10m", key, text)
		}
	}
	return nil
}

// duration reads what check has seen.
func duration(text string) time.Duration {
	d, _ := time.ParseDuration(text) // checked at the start
	return d
}

func (s settings) clock() clock.Clock {
	if s.LabClock != "" {
		return clock.NewMoved(s.LabClock)
	}
	return clock.System{}
}

func (s settings) store() store.Store { return store.Directory(s.StoreDirectory) }

// verifier reads whom we trust, and gives it as it goes into packages.
func (s settings) verifier() (v pack.Verifier, parts pack.Parts, err error) {
	if v.Signers, err = signer.ReadAuthorities(s.Signers); err != nil {
		return v, parts, fmt.Errorf("signers: %w", err)
	}
	signers, err := signer.ReadCertificates(s.Signers)
	if err != nil {
		return v, parts, fmt.Errorf("signers: %w", err)
	}
	stamps, err := signer.ReadCertificates(s.StampAuthorities)
	if err != nil {
		return v, parts, fmt.Errorf("stamp_authorities: %w", err)
	}
	v.Stamps = stamp.Authority{URL: s.StampURL, Roots: stamps, HTTP: &http.Client{Timeout: duration(s.StampTimeout)}}
	return v, pack.Parts{SignerCA: signer.EncodeCertificates(signers), StampCA: signer.EncodeCertificates(stamps)}, nil
}
