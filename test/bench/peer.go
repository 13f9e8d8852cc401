package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab"
	"github.com/ceralacca/ceralacca/deploy/lab/supervise"
)

// peer is a private Postfix with the settings of alfa's first instance and a listener for each peer. It delivers to
// the mailboxes of the lab, and throws away what is for discard.example.
type peer struct {
	queue string
	// Listeners, as ADDRESS:PORT; all but plain and hop ask for a login, none offers TLS.
	access string // alfa's milter
	dkim   string // opendkim
	reads  string // a milter that only reads
	plain  string // no milter
	hop    string // the second Postfix of mail between providers: for to-alfa.example and to-beta.example
	// submission is a listener of alfa's own instance: the access point without TLS.
	submission string
}

// startPeer starts the peers as processes of the lab, which ends them.
func startPeer(ctx context.Context, l *lab.Lab) (*peer, error) {
	root := filepath.Join(l.Runtime(), "bench")
	p := &peer{queue: filepath.Join(root, "queue")}
	for _, folder := range []string{p.queue, filepath.Join(root, "postfix"), filepath.Join(root, "data")} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return nil, err
		}
	}
	if err := listeners(l.Alfa.Address, &p.access, &p.dkim, &p.reads, &p.plain, &p.hop, &p.submission); err != nil {
		return nil, err
	}
	if err := p.startMilters(l, root); err != nil {
		return nil, err
	}
	if err := p.addSubmission(ctx, l.Alfa); err != nil {
		return nil, err
	}
	if err := p.startPostfix(ctx, l, root); err != nil {
		return nil, err
	}
	for _, address := range []string{p.access, p.dkim, p.reads, p.plain, p.hop, p.submission} {
		if err := answers(ctx, "tcp", address); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// listeners finds free ports; they are held until the last is found, so that they differ.
func listeners(host string, into ...*string) error {
	for _, address := range into {
		l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
		if err != nil {
			return err
		}
		defer l.Close()
		*address = l.Addr().String()
	}
	return nil
}

// startMilters starts opendkim and the milter that only reads.
func (p *peer) startMilters(l *lab.Lab, root string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	conf, err := writeDKIM(l.Alfa.Domain, root)
	if err != nil {
		return err
	}
	programs := map[string][]string{
		"dkim": {"/usr/sbin/opendkim", "-f", "-x", conf},
		"noop": {self, "noop", filepath.Join(root, "noop")},
	}
	for name, args := range programs {
		program := supervise.Program{Name: "bench-" + name, Args: args, Log: filepath.Join(filepath.Dir(l.Alfa.OutLog), name+".log")}
		if err := l.Processes().Start(program); err != nil {
			return err
		}
	}
	return nil
}

// writeDKIM writes the configuration of an opendkim that signs with a key of 2048 bits, as the providers' are.
func writeDKIM(domain, root string) (string, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return "", err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	keyFile, conf := filepath.Join(root, "dkim.key"), filepath.Join(root, "opendkim.conf")
	if err := os.WriteFile(keyFile, text, 0o600); err != nil {
		return "", err
	}
	lines := []string{
		"Mode s", "Domain " + domain, "Selector bench", "KeyFile " + keyFile, "Canonicalization relaxed/simple",
		"Socket local:" + filepath.Join(root, "dkim"), "UMask 000", "InternalHosts 127.0.0.0/8", "Syslog no", "RequireSafeKeys no",
	}
	return conf, os.WriteFile(conf, []byte(strings.Join(lines, "\n")+"\n"), 0o644)
}

// Settings of a listener after those of the access point, which it otherwise shares.
const (
	withoutTLS   = "  -o smtpd_tls_security_level=none\n  -o smtpd_tls_auth_only=no\n"
	withoutLogin = "  -o smtpd_sender_restrictions=\n  -o smtpd_relay_restrictions=permit_mynetworks,reject\n"
	withoutAny   = "  -o smtpd_milters=\n"
)

// addSubmission gives alfa's own instance a second access point, without TLS.
func (p *peer) addSubmission(ctx context.Context, alfa *lab.Host) error {
	name := filepath.Join(alfa.PostfixConfig, "master.cf")
	raw, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	text := string(raw) + "\n" + accessPoint(string(raw), alfa).on(p.submission) + withoutTLS
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		return err
	}
	return command(ctx, "postfix", "-c", alfa.PostfixConfig, "reload")
}

// service is one entry of a master.cf.
type service []string

// services takes a master.cf apart.
func services(text string) []service {
	var all []service
	for line := range strings.Lines(text) {
		switch {
		case strings.TrimSpace(line) == "" || line[0] == '#':
		case line[0] == ' ' && len(all) > 0:
			all[len(all)-1] = append(all[len(all)-1], line)
		default:
			all = append(all, service{line})
		}
	}
	return all
}

func (s service) listens() bool { return strings.Fields(s[0])[1] == "inet" }

// on is the entry with another address.
func (s service) on(address string) string {
	old := strings.Fields(s[0])[0]
	return strings.Replace(strings.Join(s, ""), old, address, 1)
}

// accessPoint is the entry of alfa's access point.
func accessPoint(text string, alfa *lab.Host) service {
	for _, s := range services(text) {
		if strings.Fields(s[0])[0] == net.JoinHostPort(alfa.Address, strconv.Itoa(alfa.SubmissionPort)) {
			return s
		}
	}
	return service{"none inet n - n - - smtpd\n"} // nothing will answer there
}

// startPostfix starts alfa's first instance a second time, with other listeners, routes and folders.
func (p *peer) startPostfix(ctx context.Context, l *lab.Lab, root string) error {
	config := filepath.Join(root, "postfix")
	raw, err := os.ReadFile(filepath.Join(l.Alfa.PostfixConfig, "master.cf"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(config, "master.cf"), []byte(p.master(string(raw), l, root)), 0o644); err != nil {
		return err
	}
	main, err := os.ReadFile(filepath.Join(l.Alfa.PostfixConfig, "main.cf"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(config, "main.cf"), main, 0o644); err != nil {
		return err
	}
	if err := command(ctx, "chown", "postfix", filepath.Join(root, "data")); err != nil {
		return err
	}
	if err := command(ctx, "postconf", append([]string{"-c", config, "-e"}, p.settings(l, root)...)...); err != nil {
		return err
	}
	if err := command(ctx, "postfix", "-c", config, "check"); err != nil {
		return err
	}
	return l.Processes().Start(supervise.Program{
		Name: "bench-postfix",
		Args: []string{filepath.Join(output("postconf", "-d", "-h", "daemon_directory"), "master"), "-c", config, "-s"},
		Log:  filepath.Join(filepath.Dir(l.Alfa.OutLog), "bench-master.log"),
	})
}

// master is alfa's master.cf with the listeners of the peers in place of its own.
func (p *peer) master(text string, l *lab.Lab, root string) string {
	var b strings.Builder
	for _, s := range services(text) {
		if !s.listens() {
			b.WriteString(strings.Join(s, ""))
		}
	}
	point := accessPoint(text, l.Alfa)
	b.WriteString(point.on(p.access) + withoutTLS)
	b.WriteString(point.on(p.dkim) + withoutTLS + "  -o smtpd_milters=unix:" + filepath.Join(root, "dkim") + "\n")
	b.WriteString(point.on(p.reads) + withoutTLS + "  -o smtpd_milters=unix:" + filepath.Join(root, "noop") + "\n")
	b.WriteString(point.on(p.plain) + withoutTLS + withoutAny + withoutLogin)
	b.WriteString(point.on(p.hop) + withoutTLS + withoutAny + withoutLogin + "  -o cleanup_service_name=hop-cleanup\n")
	fmt.Fprintf(&b, "hop-cleanup unix n - n - 0 cleanup\n  -o { virtual_alias_maps = inline:{{@to-alfa.example=@%s},{@to-beta.example=@%s}} }\n",
		l.Alfa.Domain, l.Beta.Domain)
	return b.String()
}

// settings are those of main.cf that differ from alfa's.
func (p *peer) settings(l *lab.Lab, root string) []string {
	routes := []string{
		"discard.example=discard:", "ceralacca.internal=discard:",
		l.Alfa.Domain + "=lmtp:unix:" + l.Alfa.LMTPSocket, l.Beta.Domain + "=lmtp:unix:" + l.Beta.LMTPSocket,
		"to-alfa.example=smtp:" + bracketed(p.hop), "to-beta.example=smtp:" + bracketed(p.hop),
	}
	return []string{
		"queue_directory=" + p.queue, "data_directory=" + filepath.Join(root, "data"),
		"maillog_file=" + filepath.Join(filepath.Dir(l.Alfa.PostfixLog), "bench-postfix.log"),
		"transport_maps=inline:{{" + strings.Join(routes, "},{") + "}}",
		"sender_dependent_default_transport_maps=", "virtual_alias_maps=", "lmtp_header_checks=", "message_size_limit=200000000",
	}
}

// bracketed is ADDRESS:PORT as Postfix names a host without asking for its MX.
func bracketed(address string) string {
	host, port, _ := net.SplitHostPort(address)
	return "[" + host + "]:" + port
}

func command(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// answers waits until something accepts connections there.
func answers(ctx context.Context, network, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		conn, err := net.Dial(network, address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer: %w", address, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
