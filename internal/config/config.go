package config

import (
	"time"

	"github.com/ceralacca/ceralacca/pec"
)

// DefaultPath is where the daemons look for the configuration.
const DefaultPath = "/etc/ceralacca/ceralacca.toml"

// Config is a configuration without faults. It is made by [Load] or [Parse] and not changed after; reading it is safe
// for concurrent use. What each field means is written beside its key, in keys.go.
type Config struct {
	Provider   Provider
	Key        Key
	Directory  Directory
	Milter     Milter
	Submission Submission
	Incoming   Incoming
	Receipts   Receipts
	Limits     Limits
	Agent      Agent
	Dovecot    Dovecot
	HMAC       HMAC
	Antivirus  Antivirus
	Time       Time
	Network    Network
	Revocation Revocation
	Plugins    []Plugin // in the order of their names

	Publish      Publish
	Environments []Environment // in the order of their names

	doc document
}

// Provider is the section [provider].
type Provider struct {
	Name           string
	Address        pec.Address
	ServiceMailbox pec.Address
	Domains        []string // in lower case, at least one
	InternalDomain string
}

// Key is the section [key]. Either Cert and Key are paths, or Plugin names a plug-in of the kind key: then Cert, a path or empty,
// says with which of its keys. CA and CRL are paths. NextCert and NextKey are paths or empty; with Plugin NextKey is empty.
type Key struct {
	Cert, Key         string
	NextCert, NextKey string
	Plugin            string
	CA                string
	CRL               []string // at least one, unless lists are fetched
}

// Directory is the section [directory]. Exactly one of File and URL is not empty; ClientCert and ClientKey belong to
// URL, and URLCA may be empty.
type Directory struct {
	File, URL, URLCA      string
	ClientCert, ClientKey string
	SignerCA              string
	CheckEvery            time.Duration
	MaxLoss               int // per cent
}

// Milter is the section [milter]. Metrics may be empty.
type Milter struct {
	SubmissionSocket, IncomingSocket Endpoint
	Metrics                          string // host:port
}

// Submission is the section [submission]. SenderMap is a path for [LoadSenderMap], or empty.
type Submission struct {
	SenderMap string
}

// What is done with ordinary mail at the incoming point.
const (
	OrdinaryAnomaly = "anomaly" // wrapped in an anomaly envelope
	OrdinaryRefuse  = "refuse"  // refused in the SMTP session
)

// Incoming is the section [incoming].
type Incoming struct {
	Ordinary  string        // OrdinaryAnomaly or OrdinaryRefuse
	AliasMaps []string      // Postfix map specifications, "type:/path"; may be empty
	MaxAge    time.Duration // at least a day
}

// Receipts is the section [receipts]: how the hashes of brief receipts are made, in the words of package brief.
type Receipts struct {
	BriefHash      string // brief.OverDecoded or brief.OverEncoded
	BriefAlgorithm string // brief.SHA1 or brief.SHA256
}

// Limits is the section [limits]. All are bytes of the message with CRLF line ends.
type Limits struct {
	Size, Product, HardSize int64
}

// Agent is the section [agent]. Metrics may be empty.
type Agent struct {
	LMTPSocket, DSNSocket, AdminSocket Endpoint
	Out                                string // host:port
	OutCert, OutKey, OutCA             string
	QueueDirectory                     []string // at least one
	State                              string
	Metrics                            string // host:port
}

// Dovecot is the section [dovecot]. MasterPassword is the path of a file; IMAPCA may be empty.
type Dovecot struct {
	LMTP, UserdbSocket         Endpoint
	IMAP                       string // host:port
	IMAPCA                     string
	MasterUser, MasterPassword string
}

// HMAC is the section [hmac]. Key is a path for transaction.LoadKey.
type HMAC struct {
	Key string
}

// Who looks for viruses.
const (
	AntivirusPlugins = "plugins" // every plug-in of the kind antivirus, of which there must be one
	AntivirusNone    = "none"    // nobody: no message is looked at
)

// Antivirus is the section [antivirus].
type Antivirus struct {
	Mode string
}

// What is done while the clock of the host is not kept.
const (
	UnsynchronisedDefer = "defer" // nothing is certified: 451
	UnsynchronisedWarn  = "warn"  // it is certified all the same
)

// Time is the section [time].
type Time struct {
	Unsynchronised    string // UnsynchronisedDefer or UnsynchronisedWarn
	MaxError, MaxStep time.Duration
}

// Whether the distribution points of certificates are followed, OCSP responders are asked, and what becomes of mail whose
// signer nobody knows to be revoked or not.
const (
	PointsFollow      = "follow"
	PointsIgnore      = "ignore"
	OCSPOn            = "on"
	OCSPOff           = "off"
	UnavailableDefer  = "defer"  // 451
	UnavailableAccept = "accept" // it passes
)

// Revocation is the section [revocation]. HTTPSCA is a path or empty.
type Revocation struct {
	DistributionPoints string // PointsFollow or PointsIgnore
	URLs               []string
	HTTPSCA            string
	Cache              string // a folder
	Every, Grace       time.Duration
	OCSP               string // OCSPOn or OCSPOff
	OCSPDeadline       time.Duration
	Unavailable        string // UnavailableDefer or UnavailableAccept
}

// Fetches says whether lists are fetched, so that none need be in files.
func (r *Revocation) Fetches() bool { return r.DistributionPoints == PointsFollow || len(r.URLs) > 0 }

// Endpoint is where a service listens: Network is "unix" or "tcp", Address as package net wants it.
type Endpoint struct {
	Network, Address string
}

// String writes e as it stands in the file.
func (e Endpoint) String() string {
	if e.Network == "unix" {
		return "unix:" + e.Address
	}
	return e.Address
}

// Warnings are what is not wrong but should be known: a daemon logs them when it starts, check-config prints them.
func (c *Config) Warnings() (warnings []Fault) {
	// A provider must scan; who only tries ceralacca need not. [C060] [C232]
	if c.Antivirus.Mode == AntivirusNone {
		warnings = append(warnings, c.doc.fault("antivirus", "mode", `antivirus.mode is "none": no message is checked for viruses, as the rules demand`,
			`mode = "plugins", and [plugins.NAME] for an antivirus`))
	}
	// [C111]
	if c.Revocation.Unavailable == UnavailableAccept {
		warnings = append(warnings, c.doc.fault("revocation", "unavailable",
			`revocation.unavailable is "accept": while no list can be had, mail signed with a revoked certificate passes as good`, `unavailable = "defer"`))
	}
	return append(warnings, c.timeWarnings()...)
}
