package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ceralacca/ceralacca/deploy/lab/supervise"
)

// messageSizeLimit lets the milter itself answer what is over its hard limit of
// 150 MB, and holds the envelope that a message of that size becomes.
const messageSizeLimit = 200_000_000

const internalDomain = "ceralacca.internal"

// values are what the placeholders of the host's files stand for.
func (l *Lab) values(h *Host) (values, error) {
	v := values{}
	v.set("NAME", h.Name)
	v.set("ADDRESS", h.Address)
	v.set("HOSTNAME", h.hostname())
	v.set("ANY_DOMAIN", h.Domain)
	v.set("LOG_DIR", filepath.Dir(h.PostfixLog))
	v.set("LOG", h.PostfixLog)
	v.set("QUEUE", h.path("queue"))
	v.set("DATA", h.path("data"))
	v.set("MAPS", h.path("postfix", "ceralacca"))
	v.set("LMTP_SOCKET", h.LMTPSocket)
	v.set("SASL_SOCKET", h.path("mda", "sasl"))
	v.set("SUBMISSION_LISTEN", hostPort(h.Address, h.SubmissionPort))
	v.set("SMARTHOST", fmt.Sprintf("[%s]:%d", l.Gamma.Address, l.Gamma.MXPort))
	v.list("ROUTES", l.routes(h)...)
	l.dovecotValues(h, v)
	l.ordinaryValues(h, v)
	if h.certified() {
		l.certifiedValues(h, v)
	}
	return v, l.issueTLS(h, v)
}

func (l *Lab) ordinaryValues(h *Host, v values) {
	v.set("ORDINARY_DOMAINS", h.OrdinaryDomain)
	v.set("ORDINARY_LISTEN", hostPort(h.Address, h.OrdinaryMXPort))
	if !h.certified() {
		v.set("ORDINARY_DOMAINS", h.Domain)
		v.set("ORDINARY_LISTEN", hostPort(h.Address, h.MXPort))
	}
}

func (l *Lab) certifiedValues(h *Host, v values) {
	v.list("CERTIFIED_DOMAINS", h.domains()...)
	v.list("CERTIFIED_PATTERNS", patterns(h.domains())...)
	v.set("INTERNAL_DOMAIN", internalDomain)
	v.set("VIRTUAL_MAILBOX_DOMAINS", h.OrdinaryDomain)
	v.set("TRANSPORT_MAPS", "")
	v.set("SENDER_TRANSPORT_MAPS", "")
	v.set("VIRTUAL_ALIAS_MAPS", "")
	v.set("RECIPIENT_RESTRICTIONS", "")
	v.set("MESSAGE_SIZE_LIMIT", messageSizeLimit)
	v.set("MX_LISTEN", hostPort(h.Address, h.MXPort))
	v.set("SUBMISSION_SOCKET", h.SubmissionSocket)
	v.set("INCOMING_SOCKET", h.IncomingSocket)
	v.set("AGENT_SOCKET", h.AgentSocket)
	v.set("DSN_SOCKET", h.DSNSocket)
	v.set("OUT_NEXTHOP", fmt.Sprintf("[%s]:%d", h.Address, h.OutPort))
	v.set("OUT_LISTEN", hostPort(h.Address, h.OutPort))
	v.set("OUT_HOSTNAME", "out."+h.Domain)
	v.set("OUT_QUEUE", h.path("out-queue"))
	v.set("OUT_DATA", h.path("out-data"))
	v.set("OUT_MAPS", h.path("out", "ceralacca"))
	v.set("OUT_LOG", h.OutLog)
	v.set("TLS_POLICY_SOCKET", h.TLSPolicySocket)
}

// hops say where mail for each domain of the lab goes, as [ADDRESS]:PORT.
func (l *Lab) hops() map[string]string {
	hop := func(address string, port int) string { return fmt.Sprintf("[%s]:%d", address, port) }
	return map[string]string{
		l.Alfa.SecondDomain:   hop(l.Alfa.Address, l.Alfa.MXPort),
		l.Alfa.Domain:         hop(l.Alfa.Address, l.Alfa.MXPort),
		l.Beta.Domain:         hop(l.Beta.Address, l.Beta.MXPort),
		l.Gamma.Domain:        hop(l.Gamma.Address, l.Gamma.MXPort),
		l.Delta.Domain:        hop(l.Delta.Host, l.Delta.SinkPort),
		l.Delta.UnitDomain:    hop(l.Delta.Host, l.Delta.SinkPort),
		l.Alfa.OrdinaryDomain: hop(l.Alfa.Address, l.Alfa.OrdinaryMXPort),
	}
}

// ordinaryHops are those that lead to no provider. The others have no line: what does not say whose mail it takes is
// spoken to by TLS.
func (l *Lab) ordinaryHops() []string {
	return []string{l.hops()[l.Gamma.Domain], l.hops()[l.Alfa.OrdinaryDomain]}
}

// routes are the lines of the host's transport map that lead to the other hosts.
func (l *Lab) routes(h *Host) []string {
	var lines []string
	for domain, hop := range l.hops() {
		switch {
		case slices.Contains(h.domains(), domain) && h.certified(): // its line leads to the DSN socket
		case domain == h.Domain:
			lines = append(lines, domain+"\t:")
		default:
			lines = append(lines, domain+"\tsmtp:"+hop)
		}
	}
	return lines
}

// writePostfix writes the first instance: the base, then ceralacca's part.
func (l *Lab) writePostfix(h *Host, v values) error {
	maps := h.path("postfix", "ceralacca")
	if err := folders(maps, h.path("queue")); err != nil {
		return err
	}
	if err := ownedFolder(h.path("data"), 0o755, l.accounts.postfix, -1); err != nil {
		return err
	}
	main, master := []part{ofBase("main.cf")}, []part{ofBase("master.cf")}
	switch {
	case !h.certified():
		main = append(main, ofBase("gamma.main.cf"))
		master = append(master, ofBase("ordinary.master.cf"), ofBase("gamma.master.cf"))
	default:
		main = append(main, ofBase("smarthost.main.cf"), ofPostfix("first/main.cf"))
		master = append(master, ofPostfix("first/master.cf"))
	}
	if h.OrdinaryDomain != "" {
		master = append(master, ofBase("ordinary.master.cf"))
	}
	if err := write(h.path("postfix", "main.cf"), v, main...); err != nil {
		return err
	}
	if err := write(h.path("postfix", "master.cf"), v, master...); err != nil {
		return err
	}
	return l.writeFirstMaps(h, maps, v)
}

func (l *Lab) writeFirstMaps(h *Host, maps string, v values) error {
	ordinary := h.OrdinaryUsers
	if !h.certified() {
		ordinary = h.Users
	}
	var mailboxes strings.Builder
	for _, u := range ordinary {
		mailboxes.WriteString(u.Address + "\tmailbox\n")
	}
	if err := os.WriteFile(filepath.Join(maps, "mailboxes"), []byte(mailboxes.String()), 0o644); err != nil {
		return err
	}
	if !h.certified() {
		return write(filepath.Join(maps, "routes"), v, ofBase("routes"))
	}
	if err := writeMaps(maps, v, "first/domains", "first/transport", "first/senders", "first/refuse", "first/private-header", "first/as-written"); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(maps, "aliases"), []byte(h.aliases()), 0o644)
}

// writeOut writes the out instance.
func (l *Lab) writeOut(h *Host, v values) error {
	maps := h.path("out", "ceralacca")
	if err := folders(maps, h.path("out-queue")); err != nil {
		return err
	}
	if err := ownedFolder(h.path("out-data"), 0o755, l.accounts.postfix, -1); err != nil {
		return err
	}
	if err := write(h.path("out", "main.cf"), v, ofPostfix("out/main.cf"), ofBase("out.main.cf")); err != nil {
		return err
	}
	if err := write(h.path("out", "master.cf"), v, ofPostfix("out/master.cf")); err != nil {
		return err
	}
	if err := writeMaps(maps, v, "out/private-header", "out/clients"); err != nil {
		return err
	}
	return write(filepath.Join(maps, "transport"), v, ofPostfix("out/transport"), ofBase("routes"))
}

// startPostfix checks an instance, which also makes its queue folders, and starts it.
func (l *Lab) startPostfix(ctx context.Context, name, config string) error {
	out, err := exec.CommandContext(ctx, "postfix", "-c", config, "check").CombinedOutput()
	if err != nil {
		return fmt.Errorf("postfix -c %s check: %w: %s", config, err, out)
	}
	daemons, err := exec.CommandContext(ctx, "postconf", "-c", config, "-h", "daemon_directory").Output()
	if err != nil {
		return fmt.Errorf("postconf -c %s: %w", config, err)
	}
	return l.processes.Start(supervise.Program{
		Name: name,
		Args: []string{filepath.Join(strings.TrimSpace(string(daemons)), "master"), "-c", config, "-s"},
		Log:  l.logPath(name + "-master"),
	})
}
