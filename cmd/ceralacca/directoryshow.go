package main

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/internal/directory"
	"github.com/ceralacca/ceralacca/pec"
)

type directoryShowCommand struct {
	keptFlags
	What        string `arg:"" optional:"" name:"domain|provider" help:"A domain, an address in it, or the name of a provider; without it, all in short."`
	Certificate string `placeholder:"FILE" help:"Whose this certificate is, PEM or DER."`
	Of          string `default:"current" placeholder:"VERSION" help:"A path, current, previous, waiting, or the beginning of a SHA-256."`
	JSON        bool   `name:"json" help:"One JSON object per record."`
}

// Help implements kong's HelpProvider.
func (directoryShowCommand) Help() string {
	return "Exit code 0: the directory has it; 1: it has not; 2: it cannot be read.\n\n" +
		"Examples:\n\n  ceralacca directory show mario@beta.example\n  ceralacca directory show \"Beta PEC\"\n" +
		"  ceralacca directory show --certificate signer.pem --of ./igpec.ldif.p7m"
}

// Run prints the records that were asked for.
func (c directoryShowCommand) Run(s *streams) error {
	if c.Certificate != "" && c.What != "" {
		return usageError{errors.New("--certificate is one question, a domain or a provider another; ask one")}
	}
	snapshot, name, err := c.read(c.Of)
	if err != nil {
		return err
	}
	records, missing, err := c.find(snapshot)
	if err != nil {
		return err
	}
	if len(records) == 0 {
		fmt.Fprintf(s.out, "%s\n", missing)
		return errWrong
	}
	now := clock.System{}.Now()
	if c.JSON {
		shown := make([]shownRecord, len(records))
		for i, r := range records {
			shown[i] = show(r, now)
		}
		return jsonLines(s, shown)
	}
	if c.What == "" && c.Certificate == "" {
		return summary(s, snapshot, name)
	}
	for _, r := range records {
		printRecord(s, show(r, now))
	}
	return nil
}

// find returns the records that were asked for, or a sentence that there are none.
func (c directoryShowCommand) find(snapshot *directory.Snapshot) (found []*pec.ProviderRecord, missing string, err error) {
	switch {
	case c.Certificate != "":
		cert, err := readCertificate(c.Certificate)
		if err != nil {
			return nil, "", usageError{err}
		}
		if r, ok := snapshot.ByCertificate(cert); ok {
			return []*pec.ProviderRecord{r}, "", nil
		}
		return nil, fmt.Sprintf("The directory does not have this certificate (SHA-1 %s): what it signs is an anomaly.", directory.Fingerprint(cert)), nil
	case c.What == "":
		return snapshot.Providers(), "", nil
	}
	_, domain, isAddress := strings.Cut(c.What, "@")
	if !isAddress {
		domain = c.What
	}
	if r, ok := snapshot.ByDomain(domain); ok {
		return []*pec.ProviderRecord{r}, "", nil
	}
	for _, r := range snapshot.Providers() {
		if strings.EqualFold(r.Name, c.What) {
			found = append(found, r)
		}
	}
	return found, fmt.Sprintf("No record of the directory manages the domain %s, and no provider has this name: a recipient there is ordinary.", visible(domain)), nil
}

func readCertificate(path string) (*x509.Certificate, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if block, _ := pem.Decode(data); block != nil {
		data = block.Bytes
	}
	cert, err := x509.ParseCertificate(data)
	if err != nil {
		return nil, fmt.Errorf("%s: it is no certificate in PEM or DER: %w", path, err)
	}
	return cert, nil
}

// shownRecord is what is shown of a record.
type shownRecord struct {
	Provider     string             `json:"provider"`
	Unit         string             `json:"unit,omitempty"`
	MailReceipt  string             `json:"mail_receipt"`
	LocationURL  string             `json:"ldif_location_url,omitempty"`
	Domains      []string           `json:"domains"`
	Certificates []shownCertificate `json:"certificates"`
}

type shownCertificate struct {
	SHA1      string    `json:"sha1"`
	Subject   string    `json:"subject"`
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
	State     string    `json:"state"` // "good", "ended", "not yet": by its dates alone
}

func show(r *pec.ProviderRecord, now time.Time) shownRecord {
	shown := shownRecord{Provider: r.Name, Unit: r.Unit, MailReceipt: r.MailReceipt.String(), LocationURL: r.LocationURL,
		Domains: slices.Sorted(slices.Values(r.Domains)), Certificates: []shownCertificate{}}
	for _, c := range r.Certificates {
		state := "good"
		switch {
		case now.Before(c.NotBefore):
			state = "not yet"
		case now.After(c.NotAfter):
			state = "ended"
		}
		shown.Certificates = append(shown.Certificates, shownCertificate{directory.Fingerprint(c), c.Subject.String(), c.NotBefore, c.NotAfter, state})
	}
	return shown
}

func title(provider, unit string) string {
	if unit == "" {
		return visible(provider)
	}
	return visible(provider) + ", environment " + visible(unit)
}

func printRecord(s *streams, r shownRecord) {
	fmt.Fprintf(s.out, "%s\n  service mailbox: %s\n", title(r.Provider, r.Unit), r.MailReceipt)
	if r.LocationURL != "" {
		fmt.Fprintf(s.out, "  publishes its records at %s\n", visible(r.LocationURL))
	}
	for _, c := range r.Certificates {
		fmt.Fprintf(s.out, "  certificate (%s): %s to %s, %s, SHA-1 %s\n", c.State, c.NotBefore.Format(time.DateOnly), c.NotAfter.Format(time.DateOnly),
			visible(c.Subject), c.SHA1)
	}
	fmt.Fprintf(s.out, "  manages %d domains:\n", len(r.Domains))
	for _, d := range r.Domains {
		fmt.Fprintf(s.out, "    %s\n", d)
	}
}

// summary is all in short.
func summary(s *streams, snapshot *directory.Snapshot, name string) error {
	fmt.Fprintf(s.out, "%s: %s\n", name, snapshot.Counts())
	if url := snapshot.LocationURL(); url != "" {
		fmt.Fprintf(s.out, "published at %s\n", visible(url))
	}
	for _, r := range snapshot.Providers() {
		fmt.Fprintf(s.out, "  %s: %d domains, %d certificates\n", title(r.Name, r.Unit), len(r.Domains), len(r.Certificates))
	}
	for _, p := range snapshot.Problems() {
		fmt.Fprintf(s.out, "  fault: %s\n", visible(p))
	}
	return nil
}
