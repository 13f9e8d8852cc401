package config

import (
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/pec/brief"
)

// section is a table of the file.
type section struct {
	name string
	doc  string
	keys []key
}

// key is one line of the file.
type key struct {
	name   string
	value  value
	doc    string
	sample string // what to write, a TOML value
	preset string // the default, a TOML value; empty when there is none
	// optional keys may be left out although they have no default.
	optional bool
	// sampled says that the sample file writes an optional key: one of two that exclude each other.
	sampled bool
	// file says what the value is the path of, for [Config.CheckFiles].
	file FileKind
}

// sections is the whole format; the values of the keys go into c.
func sections(c *Config) []section {
	return []section{
		{"provider", "Who we are. One address and one certificate for all domains.", providerKeys(&c.Provider)},
		{"key", "What we sign with, and whom we believe. Files are PEM.", keyKeys(&c.Key)},
		{"directory", "The list of all providers (IGPEC): a signed LDIF file. Write `file` or `url`.",
			directoryKeys(&c.Directory)},
		{"milter", "Where Postfix finds the milter. The folder of `submission_socket` also holds those of its plug-ins while they run.", milterKeys(&c.Milter)},
		{"submission", "The access point: mail from our users. The section may be left out.",
			submissionKeys(&c.Submission)},
		{"incoming", "The incoming point: mail from the network. The section may be left out.", incomingKeys(&c.Incoming)},
		{"receipts", "Delivery receipts. The section may be left out.", receiptsKeys(&c.Receipts)},
		{"limits", "Sizes, of the message with CRLF line ends: bytes, or a number with `KB`, `MB` or `GB` (powers of " +
			"1024, so that a guarantee in MB holds however it is read). The section may be left out.",
			limitsKeys(&c.Limits)},
		{"agent", "The agent: delivery and notifications.", agentKeys(&c.Agent)},
		{"dovecot", "Where the mailboxes are.", dovecotKeys(&c.Dovecot)},
		{"hmac", "How the agent knows what the milter wrote.", []key{
			{name: "key", value: secretPath(&c.HMAC.Key), sample: `"/etc/ceralacca/hmac.key"`, file: FileSecret,
				doc: "A file with at least 32 random bytes, the same for milter and agent. " +
					"`openssl rand -hex 32` makes them. The agent knows by it what waits in the queues: before both daemons " +
					"start with another, let the queues of both Postfix instances become empty."},
		}},
		{publishSection, publishDoc, publishKeys(&c.Publish)},
		{"revocation", "How we hear that a certificate was revoked, beside the files of `key.crl`. The section may be left out.",
			revocationKeys(&c.Revocation)},
		{"antivirus", "Who looks for viruses.", []key{
			{name: "mode", value: choice(&c.Antivirus.Mode, AntivirusPlugins, AntivirusNone), sample: `"plugins"`,
				doc: "Must be written. `plugins`: every antivirus among the sections [plugins.NAME], of which there must be one, sees every " +
					"message at both points; while one cannot answer, mail is answered 451. `none`: nobody does, and the daemons warn when they " +
					"start; for trying things out, not for a provider."},
		}},
		{"time", "The clock of this host, which every receipt states. The section may be left out.", timeKeys(&c.Time)},
		{"network", "What leaves for other providers, and what comes from them. The section may be left out.", networkKeys(&c.Network)},
	}
}

func providerKeys(p *Provider) []key {
	return []key{
		{name: "name", value: text(&p.Name), sample: `"Alfa PEC S.p.A."`,
			doc: "The name of the provider, as `providerName` in the directory."},
		{name: "address", value: providerAddress(&p.Address), sample: `"` + pec.ProviderMailbox + `@alfa.example"`,
			doc: "The author of all we generate, `" + pec.ProviderMailbox + "@` some domain; it is in our certificate. Its domain ends our message identifiers."},
		{name: "service_mailbox", value: address(&p.ServiceMailbox), sample: `"ricevute@alfa.example"`,
			doc: "`mailReceipt` in the directory: where other providers send take-charge receipts and virus notices. " +
				"Its domain is that of `address` or one of `domains`."},
		{name: "domains", value: domains(&p.Domains), sample: `["alfa.example"]`,
			doc: "The certified domains we manage, `managedDomains` in the directory."},
		{name: "internal_domain", value: domain(&p.InternalDomain), sample: `"ceralacca.internal"`,
			preset: `"ceralacca.internal"`,
			doc:    "A domain that exists only in Postfix's `transport_maps`, for what the milter tells the agent."},
	}
}

func keyKeys(k *Key) []key {
	return []key{
		{name: "cert", value: path(&k.Cert), sample: `"/etc/ceralacca/cert.pem"`, file: FilePublic, optional: true, sampled: true,
			doc: "Our certificate, then those between it and its authority. Write `cert` and `key`, or `plugin`, with or without `cert`."},
		{name: "key", value: secretPath(&k.Key), sample: `"/etc/ceralacca/key.pem"`, file: FileSecret, optional: true, sampled: true,
			doc: "Its private key, RSA."},
		{name: "plugin", value: text(&k.Plugin), sample: `"hsm"`, optional: true,
			doc: "The `NAME` of a `[plugins.NAME]` of the kind key, which signs: a device. `cert` says with which of its keys, that of this " +
				"certificate; without `cert` it is the first whose certificate is good for us. While it does not answer, nothing is certified (451)."},
		{name: "ca", value: path(&k.CA), sample: `"/etc/ceralacca/ca.pem"`, file: FilePublic,
			doc: "The authorities that certify providers."},
		{name: "crl", value: paths(&k.CRL), sample: `["/etc/ceralacca/crl.pem"]`, file: FilePublic, optional: true, sampled: true,
			doc: "Their revocation lists, PEM or DER, beside those that are fetched, see `[revocation]`: must be written when none is. " +
				"Something else keeps these files fresh; they are read again when they change, and at SIGHUP."},
		{name: "next_cert", value: path(&k.NextCert), sample: `"/etc/ceralacca/next-cert.pem"`, file: FilePublic, optional: true,
			doc: "The certificate that will sign next, as `cert`: published in our record of the directory before it is used. " +
				"`ceralacca cert rotate` exchanges it, and `next_key`, for `cert` and `key`."},
		{name: "next_key", value: secretPath(&k.NextKey), sample: `"/etc/ceralacca/next-key.pem"`, file: FileSecret, optional: true,
			doc: "Its private key; with `plugin` the plug-in has it, and none is written here."},
	}
}

func revocationKeys(r *Revocation) []key {
	return []key{
		{name: "distribution_points", value: choice(&r.DistributionPoints, PointsFollow, PointsIgnore), sample: `"follow"`, preset: `"follow"`,
			doc: "Whether lists are fetched from where the certificates of the directory, and our own, say: http and https only."},
		{name: "urls", value: webURLs(&r.URLs), sample: `["http://ca.example/ca.crl"]`, optional: true,
			doc: "Where to fetch lists beside that."},
		{name: "https_ca", value: path(&r.HTTPSCA), sample: `"/etc/ceralacca/crl-ca.pem"`, file: FilePublic, optional: true,
			doc: "The authorities of https servers of lists and answers. Without it those that the system trusts."},
		{name: "cache", value: path(&r.Cache), sample: `"/var/cache/ceralacca"`, preset: `"/var/cache/ceralacca"`,
			doc: "The folder where fetched lists are kept, so that a restart needs no server: the same for both daemons. It is made when it is needed."},
		{name: "every", value: duration(&r.Every, minCheck, maxCheck), sample: `"10m"`, preset: `"10m"`,
			doc: "How often a list is looked for, and an answer by OCSP is asked for again: so long a revocation may go unnoticed after it is published. From `1s` to `24h`."},
		{name: "grace", value: duration(&r.Grace, minCheck, maxGrace), sample: `"24h"`, preset: `"24h"`,
			doc: "How long a list is believed, with an alarm, after its successor was due. From `1s` to `72h`."},
		{name: "ocsp", value: choice(&r.OCSP, OCSPOn, OCSPOff), sample: `"off"`, preset: `"off"`,
			doc: "Whether the issuers of certificates that sign incoming mail are asked as well. Revoked is what list or answer says is revoked; an answer " +
				"stands in where there is no list; without an answer the lists decide."},
		{name: "ocsp_deadline", value: duration(&r.OCSPDeadline, minAnswer, maxAnswer), sample: `"3s"`, preset: `"3s"`,
			doc: "How long mail waits for an answer at most. From `100ms` to `30s`."},
		{name: "unavailable", value: choice(&r.Unavailable, UnavailableDefer, UnavailableAccept), sample: `"defer"`, preset: `"defer"`,
			doc: "What becomes of mail while nobody says whether its signer is revoked, `grace` included: `defer` answers 451, `accept` lets it pass as if " +
				"nobody were, and warns at every start. Either is an alarm."},
	}
}

func directoryKeys(d *Directory) []key {
	return []key{
		{name: "file", value: path(&d.File), sample: `"/etc/ceralacca/igpec.ldif.p7m"`, file: FilePublic, optional: true, sampled: true,
			doc: "The directory on this host."},
		{name: "url", value: httpsURL(&d.URL), sample: `"https://igpec.example/igpec.ldif.p7m"`, optional: true,
			doc: "The directory where it is published."},
		{name: "url_ca", value: path(&d.URLCA), sample: `"/etc/ceralacca/igpec-ca.pem"`, file: FilePublic, optional: true,
			doc: "With `url`: the authorities of that server. Without it those that the system trusts."},
		{name: "client_cert", value: path(&d.ClientCert), sample: `"/etc/ceralacca/igpec-client.pem"`, file: FilePublic,
			optional: true, doc: "With `url`: the certificate we show there."},
		{name: "client_key", value: secretPath(&d.ClientKey), sample: `"/etc/ceralacca/igpec-client.key"`, file: FileSecret,
			optional: true, doc: "With `url`: its private key."},
		{name: "signer_ca", value: path(&d.SignerCA), sample: `"/etc/ceralacca/igpec-signer-ca.pem"`, file: FilePublic,
			doc: "The authorities of who signs the directory."},
		{name: "check_every", value: duration(&d.CheckEvery, minCheck, maxCheck), sample: `"1h"`, preset: `"1h"`,
			doc: "How often to look for a new one: from `1s` to `24h`. After a failure sooner."},
		{name: "max_loss", value: percent(&d.MaxLoss), sample: "10", preset: "10",
			doc: "How many per cent of the records, the domains or the good certificates a new one may lack. What lacks more, or our own record, " +
				"waits until `ceralacca directory update --accept` takes it; the old one stays in use. 100 lets all pass but the loss of our own record."},
	}
}

func milterKeys(m *Milter) []key {
	return []key{
		{name: "submission_socket", value: socket(&m.SubmissionSocket), sample: `"unix:/run/ceralacca/submission.sock"`,
			doc: "The milter of the submission listener of certified domains."},
		{name: "incoming_socket", value: socket(&m.IncomingSocket), sample: `"unix:/run/ceralacca/incoming.sock"`,
			doc: "The milter of the incoming listener of certified domains."},
		{name: "metrics", value: loopback(&m.Metrics), sample: `"127.0.0.1:9926"`, optional: true,
			doc: "Where the milter answers `/metrics`: a loopback address. Without it, nowhere."},
	}
}

func submissionKeys(s *Submission) []key {
	return []key{
		{name: "sender_map", value: path(&s.SenderMap), sample: `"/etc/ceralacca/senders"`, file: FilePublic, optional: true,
			doc: "Which logins may send as more than the address they are: lines `login address address …`; `#` begins " +
				"a comment. Without it each login is its own address only."},
	}
}

func incomingKeys(i *Incoming) []key {
	return []key{
		{name: "ordinary", value: choice(&i.Ordinary, OrdinaryAnomaly, OrdinaryRefuse), sample: `"anomaly"`,
			preset: `"anomaly"`,
			doc:    "Mail that is not certified: wrapped in an `anomaly` envelope, or to `refuse` with 550 5.7.1."},
		{name: "alias_maps", value: maps(&i.AliasMaps), sample: `["hash:/etc/postfix/virtual"]`, optional: true,
			doc: "Aliases and lists of certified domains, in the form of Postfix's `virtual_alias_maps`. The agent expands them, and " +
				"Postfix must not. Maps of the types texthash, hash, btree, lmdb and cdb are read whole when they change; any " +
				"other is asked by a process for each recipient."},
		{name: "max_age", value: duration(&i.MaxAge, minAge, maxAge), sample: `"72h"`, preset: `"72h"`,
			doc: "A transport envelope older than this that we have never seen is an anomaly. From `24h` to `720h`."},
	}
}

func receiptsKeys(r *Receipts) []key {
	return []key{
		{name: "brief_hash", value: choice(&r.BriefHash, brief.OverDecoded, brief.OverEncoded), sample: `"decoded"`, preset: `"decoded"`,
			doc: "What the hashes of a brief receipt are over: the `decoded` file, or the part `encoded` as it stands in the message. The " +
				"rule says both; a user can check the file with `sha1sum`."},
		{name: "brief_algorithm", value: choice(&r.BriefAlgorithm, brief.SHA1, brief.SHA256), sample: `"sha1"`, preset: `"sha1"`,
			doc: "Their algorithm: `sha1`, as the rule says, or `sha256`, which no rule knows yet."},
	}
}

func limitsKeys(l *Limits) []key {
	return []key{
		{name: "size", value: size(&l.Size, minProduct), sample: `"100 MB"`, preset: `"100 MB"`,
			doc: "A submission over this gets a notice of non-acceptance. At least `30 MB`: one recipient has a right to as much."},
		{name: "product", value: size(&l.Product, minProduct), sample: `"100 MB"`, preset: `"100 MB"`,
			doc: "Size times recipients: a submission over this gets a notice of non-acceptance. At least `30 MB`, by law."},
		{name: "hard_size", value: size(&l.HardSize, 1), sample: `"150 MB"`, preset: `"150 MB"`,
			doc: "Over this the SMTP session refuses with 552 5.3.4, without a notice."},
	}
}

func agentKeys(a *Agent) []key {
	return []key{
		{name: "lmtp_socket", value: socket(&a.LMTPSocket), sample: `"unix:/run/ceralacca/agent.sock"`,
			doc: "Where Postfix's `ceralacca-agent` transport delivers."},
		{name: "dsn_socket", value: socket(&a.DSNSocket), sample: `"unix:/run/ceralacca/dsn.sock"`,
			doc: "Where the bounces of the outbound instance come back."},
		{name: "out", value: hostPort(&a.Out), sample: `"127.0.0.1:10026"`,
			doc: "The listener of the outbound instance; TLS."},
		{name: "out_cert", value: path(&a.OutCert), sample: `"/etc/ceralacca/out-client.pem"`, file: FilePublic,
			doc: "The certificate the agent shows there."},
		{name: "out_key", value: secretPath(&a.OutKey), sample: `"/etc/ceralacca/out-client.key"`, file: FileSecret,
			doc: "Its private key."},
		{name: "out_ca", value: path(&a.OutCA), sample: `"/etc/ceralacca/out-ca.pem"`, file: FilePublic,
			doc: "The authority of that listener's certificate."},
		{name: "queue_directory", value: paths(&a.QueueDirectory), sample: `["/var/spool/postfix"]`, file: FileFolder,
			doc: "The queues of the Postfix instances that deliver to the agent: their file systems are flushed before " +
				"the first effect of a transaction."},
		{name: "state", value: path(&a.State), sample: `"/var/lib/ceralacca"`,
			doc: "The folder of the agent's own files: store, legal log, directory versions."},
		{name: "admin_socket", value: socket(&a.AdminSocket), sample: `"unix:/run/ceralacca/admin.sock"`,
			doc: "Where the commands ask the running agent."},
		{name: "metrics", value: loopback(&a.Metrics), sample: `"127.0.0.1:9925"`, optional: true,
			doc: "Where the agent answers `/metrics`: a loopback address. Without it, nowhere."},
	}
}

func dovecotKeys(d *Dovecot) []key {
	return []key{
		{name: "lmtp", value: endpoint(&d.LMTP), sample: `"unix:/run/dovecot/lmtp"`,
			doc: "Dovecot's LMTP service."},
		{name: "userdb_socket", value: socket(&d.UserdbSocket), sample: `"unix:/run/dovecot/auth-userdb"`,
			doc: "Where Dovecot says whether a mailbox exists."},
		{name: "imap", value: hostPort(&d.IMAP), sample: `"localhost:993"`,
			doc: "Dovecot's IMAP service; TLS."},
		{name: "imap_ca", value: path(&d.IMAPCA), sample: `"/etc/ceralacca/imap-ca.pem"`, file: FilePublic, optional: true,
			doc: "The authorities of its certificate. Without it those that the system trusts."},
		{name: "master_user", value: text(&d.MasterUser), sample: `"ceralacca"`,
			doc: "The master user by whom the agent looks whether an uncertain delivery has arrived."},
		{name: "master_password", value: secretPath(&d.MasterPassword), sample: `"/etc/ceralacca/master.password"`,
			file: FileSecret, doc: "A file with the password of that user, on one line."},
	}
}
