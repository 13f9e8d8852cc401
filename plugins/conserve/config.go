package main

import (
	"encoding/json"
	"errors"
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
	StoreS3          *bucket         `json:"store_s3"`
	Keep             string          `json:"keep"`
	Space            json.RawMessage `json:"space"`
	Mailboxes        map[string]rule `json:"mailboxes"`
	Warn             []int           `json:"warn"`
	Delay            string          `json:"delay"`
	LabClock         string          `json:"lab_clock"`

	Archive          string          `json:"archive"`
	ArchiveDirectory string          `json:"archive_directory"`
	ArchiveSpace     json.RawMessage `json:"archive_space"`

	IMAP             string `json:"imap"`
	IMAPAuthorities  string `json:"imap_authorities"`
	IMAPMaster       string `json:"imap_master"`
	IMAPPasswordFile string `json:"imap_password_file"`
	IMAPSeparator    string `json:"imap_separator"`
}

// rule is what is written for one mailbox.
type rule struct {
	Keep         string          `json:"keep"`
	Space        json.RawMessage `json:"space"`
	Archive      string          `json:"archive"`
	ArchiveSpace json.RawMessage `json:"archive_space"`
}

// sent are the events of who sends, received those of who receives.
func isSent(event string) bool {
	return slices.Contains([]string{"submitted", "accepted", "non-acceptance", "delivery", "non-delivery", "notice"}, event)
}

func isReceived(event string) bool { return slices.Contains([]string{"delivered", "anomaly"}, event) }

// keeps says whether an event of a mailbox is kept. An event that is not known is, unless the mailbox is off: a later host
// may have kinds that we do not know, and what was not kept is lost.
func (s settings) keeps(mailbox, event string) bool {
	return allows(s.kept(mailbox), event)
}

func allows(rule, event string) bool {
	event = strings.TrimPrefix(event, intake.Imported)
	switch rule {
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

// archives says whether the archive has a copy of an event of a mailbox, by the same words.
func (s settings) archives(mailbox, event string) bool {
	rule := s.Archive
	if own := s.Mailboxes[mailbox].Archive; own != "" {
		rule = own
	}
	return allows(rule, event)
}

func (s settings) hasArchive() bool {
	has := s.Archive != "off"
	for _, r := range s.Mailboxes {
		has = has || r.Archive != "" && r.Archive != "off"
	}
	return has
}

// limit is the space of a mailbox in bytes, 0 without one. check has seen that it can be read.
func (s settings) limit(mailbox string) int64 { return size(s.Space, s.Mailboxes[mailbox].Space) }

// archiveLimit is that of its archive.
func (s settings) archiveLimit(mailbox string) int64 {
	return size(s.ArchiveSpace, s.Mailboxes[mailbox].ArchiveSpace)
}

func size(all, own json.RawMessage) int64 {
	if len(own) > 0 {
		all = own
	}
	n, _ := parseSpace(all) // checked at the start
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
	for text, preset := range map[*string]string{&s.StampTimeout: "30s", &s.Delay: "30m", &s.Keep: "both", &s.IMAPSeparator: "*", &s.Archive: "off"} {
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
	if err := s.checkSpaces(); err != nil {
		return err
	}
	if s.IMAP != "" {
		if _, err := imap.Parse(s.IMAP, nil); err != nil {
			return fmt.Errorf("imap: %w", err)
		}
	}
	for key, text := range map[string]string{"stamp_timeout": s.StampTimeout, "delay": s.Delay} {
		if _, err := time.ParseDuration(text); err != nil {
			return fmt.Errorf("%s is %q, not a duration; write 30s or 10m", key, text)
		}
	}
	return s.checkStore()
}

func (s *settings) checkSpaces() error {
	for _, space := range []json.RawMessage{s.Space, s.ArchiveSpace} {
		if _, err := parseSpace(space); err != nil {
			return err
		}
	}
	for mailbox, r := range s.Mailboxes {
		for _, space := range []json.RawMessage{r.Space, r.ArchiveSpace} {
			if _, err := parseSpace(space); err != nil {
				return fmt.Errorf("mailboxes.%q: %w", mailbox, err)
			}
		}
	}
	if s.hasArchive() && (s.ArchiveDirectory == "" || s.ArchiveDirectory == s.Folder || s.ArchiveDirectory == s.StoreDirectory) {
		return errors.New("archive wants an archive_directory of its own")
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
	return v, pack.Parts{SignerCA: signer.EncodeCertificates(signers), StampCA: signer.EncodeCertificates(stamps), Readme: pack.Instructions()}, nil
}
