package lab

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/ceralacca/ceralacca/deploy/lab/supervise"
)

// The two daemons of a certified host; a process is named HOST-ROLE.
const (
	roleMilter = "milter"
	roleAgent  = "lda"
)

// writeDaemon writes the configuration of the host's daemons and what it names.
func (l *Lab) writeDaemon(h *Host) error {
	uid, group := l.accounts.daemon, l.accounts.group
	if err := ownedFolder(h.path("s"), 0o751, uid, group); err != nil {
		return err
	}
	if err := ownedFolder(h.State, 0o700, uid, group); err != nil {
		return err
	}
	if err := l.writeSecrets(h); err != nil {
		return err
	}
	if l.scans() {
		if err := l.writeClamd(h); err != nil {
			return err
		}
	}
	text, err := l.toml(h)
	if err != nil {
		return err
	}
	if l.options.Notices {
		sections, err := l.noticeSections(h)
		if err != nil {
			return err
		}
		text += sections
	}
	if l.options.Packages && h == l.Beta {
		sections, err := l.packageSections(h)
		if err != nil {
			return err
		}
		text += sections
	}
	if l.options.Config != nil {
		text = l.options.Config(h.Name, text)
	}
	return os.WriteFile(h.Config, []byte(text), 0o644)
}

// writeSecrets writes keys and passwords for the daemons' user alone.
func (l *Lab) writeSecrets(h *Host) error {
	uid := l.accounts.daemon
	pair := map[*Host]string{l.Alfa: "alfa", l.Beta: "beta"}[h]
	for _, copied := range [][2]string{
		{l.pkiPath(pair) + ".key", h.path("etc", "signing.key")},
		{l.pkiPath("client") + ".key", h.path("etc", "directory.key")},
	} {
		data, err := os.ReadFile(copied[0])
		if err != nil {
			return err
		}
		if err := writeSecret(copied[1], data, uid); err != nil {
			return err
		}
	}
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails: the runtime ends the process instead
	if err := writeSecret(h.path("etc", "hmac"), []byte(hex.EncodeToString(secret)+"\n"), uid); err != nil {
		return err
	}
	return writeSecret(h.path("etc", "master-password"), []byte(h.MasterUser.Password+"\n"), uid)
}

// toml is the configuration of the host's daemons. Alfa fetches directory and
// revocation list, beta reads the files.
func (l *Lab) toml(h *Host) (string, error) {
	var b strings.Builder
	section := func(name string, lines ...string) {
		fmt.Fprintf(&b, "[%s]\n%s\n\n", name, strings.Join(lines, "\n"))
	}
	set := func(key, value string) string { return fmt.Sprintf("%s = %q", key, value) }
	list := func(key string, items ...string) string {
		quoted := make([]string, len(items))
		for i, item := range items {
			quoted[i] = fmt.Sprintf("%q", item)
		}
		return fmt.Sprintf("%s = [%s]", key, strings.Join(quoted, ", "))
	}
	section("provider", set("name", h.Provider), set("address", h.PECAddress), set("service_mailbox", h.ServiceUser.Address),
		list("domains", h.domains()...), set("internal_domain", internalDomain))
	key := []string{set("cert", h.Cert), set("key", h.path("etc", "signing.key")), set("ca", l.CA)}
	if h == l.Alfa {
		section("revocation", set("cache", h.path("s", "lists")), set("every", "1s"), set("grace", "1s"))
	} else {
		key = append(key, list("crl", l.CRL))
		section("revocation", set("distribution_points", "ignore"))
	}
	section("key", key...)
	source := []string{set("file", l.DirectoryP7M)}
	if h == l.Alfa {
		source = []string{set("url", l.DirectoryURL), set("url_ca", l.CA), set("client_cert", l.ClientCert), set("client_key", h.path("etc", "directory.key"))}
	}
	section("directory", append(source, set("signer_ca", l.DirectorySignerCA))...)
	section("milter", set("submission_socket", "unix:"+h.SubmissionSocket), set("incoming_socket", "unix:"+h.IncomingSocket),
		set("metrics", hostPort(h.Address, h.MilterMetricsPort)))
	section("incoming", set("ordinary", "anomaly"), list("alias_maps", "texthash:"+h.path("postfix", "ceralacca", "aliases")))
	section("agent", set("lmtp_socket", "unix:"+h.AgentSocket), set("dsn_socket", "unix:"+h.DSNSocket),
		set("out", hostPort(h.Address, h.OutPort)), set("out_cert", h.OutCert), set("out_key", h.OutKey), set("out_ca", l.CA),
		list("queue_directory", h.path("queue"), h.path("out-queue")), set("state", h.State),
		set("admin_socket", "unix:"+h.AdminSocket), set("metrics", hostPort(h.Address, h.MetricsPort)))
	section("dovecot", set("lmtp", "unix:"+h.LMTPSocket), set("userdb_socket", "unix:"+h.UserdbSocket),
		set("imap", hostPort(h.Address, h.IMAPSPort)), set("imap_ca", l.CA),
		set("master_user", h.MasterUser.Address), set("master_password", h.path("etc", "master-password")))
	// Nobody synchronises the clock of a container, or nobody says so to who asks in one.
	section("time", set("unsynchronised", "warn"))
	section("network", set("tls_policy_socket", "unix:"+h.TLSPolicySocket), list("ordinary_hops", l.ordinaryHops()...),
		set("out", h.OutConfig))
	section("hmac", set("key", h.path("etc", "hmac")))
	if !l.options.Antivirus {
		section("antivirus", set("mode", "none"))
		return b.String(), nil
	}
	section("antivirus", set("mode", "plugins"))
	lines, err := l.pluginLines()
	if err != nil {
		return "", err
	}
	section("plugins."+pluginName, lines...)
	section("plugins."+pluginName+".config", list("addresses", "unix:"+h.ClamdSocket))
	return b.String(), nil
}

// copyPrograms puts the daemons' program, and the plug-in, where their users can reach them: the work tree may lie in a
// folder that they cannot enter.
func (l *Lab) copyPrograms() error {
	if err := folders(filepath.Dir(l.binary())); err != nil {
		return err
	}
	if err := copyProgram(l.options.Bin, l.binary()); err != nil {
		return err
	}
	for name, wanted := range map[string]bool{noticeName: l.options.Notices, packageName: l.options.Packages, pluginName: l.options.Antivirus} {
		if !wanted {
			continue
		}
		if err := copyProgram(filepath.Join(filepath.Dir(l.options.Bin), name), filepath.Join(filepath.Dir(l.binary()), name)); err != nil {
			return err
		}
	}
	return nil
}

func copyProgram(from, target string) error {
	in, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("a program of the lab, run make build: %w", err)
	}
	defer in.Close()
	out, err := os.OpenFile(target, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		_ = out.Close() // the copy failed already
		return err
	}
	return out.Close()
}

func (l *Lab) binary() string { return filepath.Join(l.runtime, "bin", "ceralacca") }

func (l *Lab) startDaemon(h *Host, role string) error {
	name := h.Name + "-" + role
	return l.processes.Start(supervise.Program{
		Name: name,
		Args: []string{l.binary(), role, "--config", h.Config},
		Env:  append(l.environment(), "MAIL_CONFIG="+h.PostfixConfig), // for postmap: the machine may have no /etc/postfix
		UID:  l.accounts.daemon,
		GID:  l.accounts.group,
		Log:  l.logPath(name),

		Groups: l.confinement.groups,
		Caps:   l.confinement.caps,
	})
}

// environment of the daemons: what they need, and what the lab's caller adds.
func (l *Lab) environment() []string {
	env := []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "TMPDIR=" + l.tmp(), "CERALACCA_LAB_CLOCK=" + l.Clock}
	return append(env, l.options.Env...)
}

// tmp is where the daemons may spool.
func (l *Lab) tmp() string { return filepath.Join(l.runtime, "tmp") }
