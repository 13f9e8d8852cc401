package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ceralacca/ceralacca/pec"
)

// Publish is the section [publish]: what our own records in the directory say beside the section [provider]. LDIFURL is empty
// when the section is not written; SignerCert and SignerKey are both empty or both paths.
type Publish struct {
	LDIFURL, Description  string
	Certs                 []string // paths; may be empty
	SignerCert, SignerKey string
}

// Environment is a section [environments.NAME]: a secondary environment of ours, which runs elsewhere. [C221] [C222]
type Environment struct {
	Name           string
	Unit           string
	ServiceMailbox pec.Address
	Domains        []string // in lower case, at least one
	Certs          []string // paths, at least one
	Description    string
}

// publishSection is the name of the section of our own main record.
const publishSection = "publish"

// environmentsSection is the name above the sections of secondary environments.
const environmentsSection = "environments"

const publishDoc = "Our own records in the directory, which `ceralacca directory export` writes and signs for the central system to fetch: " +
	"docs/directory.md. The section may be left out by who does not publish from this host."

const environmentReference = "One section for each secondary environment of ours; `NAME` is yours to choose, in lower case letters, digits and " +
	"hyphens. It runs elsewhere, with a configuration of its own: here stands only what the directory says of it."

func publishKeys(p *Publish) []key {
	return []key{
		{name: "ldif_url", value: httpsURL(&p.LDIFURL), sample: `"https://www.alfa.example/alfa.ldif.p7m"`, optional: true,
			doc: "`LDIFLocationURL` of our main record: where the central system fetches the file. Must be written when anything is published."},
		{name: "certs", value: paths(&p.Certs), sample: `["/etc/ceralacca/other-cert.pem"]`, file: FilePublic, optional: true,
			doc: "Certificates that sign for us beside those of `key.cert` and `key.next_cert`, which are published in any case. With `key.plugin` and " +
				"without `key.cert`, all but `key.next_cert`."},
		{name: "description", value: text(&p.Description), sample: `"Certified mail of Alfa"`, optional: true,
			doc: "`description` of our main record."},
		{name: "signer_cert", value: path(&p.SignerCert), sample: `"/etc/ceralacca/publish.pem"`, file: FilePublic, optional: true,
			doc: "With `signer_key`: the certificate of who signs the file. Without it, that of `[key]`."},
		{name: "signer_key", value: secretPath(&p.SignerKey), sample: `"/etc/ceralacca/publish.key"`, file: FileSecret, optional: true,
			doc: "Its private key, RSA."},
	}
}

func environmentKeys(e *Environment) []key {
	return []key{
		{name: "unit", value: text(&e.Unit), sample: `"Uffici"`,
			doc: "Its name, `providerUnit` in the directory."},
		{name: "service_mailbox", value: address(&e.ServiceMailbox), sample: `"ricevute@uffici.alfa.example"`,
			doc: "`mailReceipt` of its record."},
		{name: "domains", value: domains(&e.Domains), sample: `["uffici.alfa.example"]`,
			doc: "The certified domains it manages, `managedDomains` of its record: none of ours."},
		{name: "certs", value: paths(&e.Certs), sample: `["/etc/ceralacca/uffici.pem"]`, file: FilePublic,
			doc: "The certificates that sign there, of each file the first."},
		{name: "description", value: text(&e.Description), sample: `"Offices of Alfa"`, optional: true,
			doc: "`description` of its record."},
	}
}

// readEnvironments reads all sections of secondary environments, in the order of their names.
func (r *reader) readEnvironments(c *Config) {
	r.readNamed(environmentsSection, "an environment", func(name string, values map[string]any) {
		e, section := Environment{Name: name}, environmentsSection+"."+name
		keys := environmentKeys(&e)
		var names []string
		for _, k := range keys {
			r.readKey(section, k, values)
			names = append(names, k.name)
		}
		for written := range values {
			if !slices.Contains(names, written) {
				r.add(section, written, fmt.Sprintf("%s.%s is not a key", section, written), strings.Join(names, ", "))
			}
		}
		c.Environments = append(c.Environments, e)
	})
}

// checkPublish: what is published is at a URL, is signed with a pair, and gives every domain to one record.
func (r *reader) checkPublish(c *Config) {
	p := c.Publish
	values, written := r.doc.values[publishSection].(map[string]any)
	has := func(key string) bool { return values[key] != nil }
	if written && !has("ldif_url") {
		r.add(publishSection, "", "publish.ldif_url is missing", publishKeys(&p)[0].example())
	}
	if has("signer_cert") != has("signer_key") {
		r.add(publishSection, "", "publish.signer_cert and publish.signer_key serve only together", "both, or neither")
	}
	if written && c.Key.Plugin != "" && (!has("certs") && c.Key.Cert == "" || !has("signer_cert")) {
		r.add(publishSection, "", "with key.plugin, [publish] needs signer_cert and signer_key, and key.cert or certs: the plug-in signs messages only",
			"the certificates of the plug-in in files, and a pair that signs")
	}
	owner := map[string]string{}
	for _, d := range c.Provider.Domains {
		owner[d] = "provider.domains"
	}
	units := map[string]string{}
	for _, e := range c.Environments {
		section := environmentsSection + "." + e.Name
		if !written {
			r.add(section, "", "["+section+"] serves only [publish], which is not there", "[publish], or no environment")
		}
		unit := strings.ToLower(e.Unit)
		if other, taken := units[unit]; taken && unit != "" {
			r.add(section, "unit", fmt.Sprintf("%s.unit is %q, and so is that of %s", section, e.Unit, other), "a name of its own")
		}
		units[unit] = section
		for _, d := range e.Domains {
			if other, taken := owner[d]; taken {
				r.add(section, "domains", fmt.Sprintf("%s.domains has %q, and so has %s", section, d, other), "each domain once")
				continue
			}
			owner[d] = section + ".domains"
		}
	}
}

// checkEnvironmentFiles looks at the certificates, as [Config.CheckFiles] does.
func (c *Config) checkEnvironmentFiles(look func(path string, kind FileKind) error) Faults {
	var faults Faults
	for _, e := range c.Environments {
		for _, path := range e.Certs {
			if err := look(path, FilePublic); err != nil {
				faults = append(faults, c.fileFault(environmentsSection+"."+e.Name, "certs", path, err))
			}
		}
	}
	return faults
}
