package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab/supervise"
	"github.com/ceralacca/ceralacca/internal/clock"
)

// Options say what lab to start.
type Options struct {
	// Dir takes logs and pid files; it is made, must be absolute and stays after Stop.
	Dir string
	// Bin is the ceralacca program of the daemons, or another that takes the same
	// commands; unused without Daemons.
	Bin string
	// Daemons starts milter and agent of alfa and beta.
	Daemons bool
	// Antivirus, with Daemons, starts a clamd for each of alfa and beta, and has their milters ask it through the plug-in
	// clamav, which lies beside Bin.
	Antivirus bool
	// Notices, with Daemons, has the agents of alfa and beta tell their users through the plug-in sms, which lies beside Bin, into
	// the folder NoticeSpool. No smsd runs.
	Notices bool
	// Packages, with Daemons, has beta's agent preserve mail through the plug-in conserve, which lies beside Bin, with a time
	// stamping authority of the lab's own.
	Packages bool
	// Config may change the daemons' configuration before anything starts; host is
	// alfa or beta.
	Config func(host, toml string) string
	// Env is added to the environment of the daemons, as NAME=value.
	Env []string
	// Patience is how long Start waits until all ports answer; 0 means a minute.
	Patience time.Duration
}

// Lab is a running lab. Paths are absolute. Its fields do not change after Start.
type Lab struct {
	Alfa, Beta, Gamma *Host
	Delta             *Delta

	CA, CAKey           string // of everything but the directory
	CRL                 string // of CA; names RevokedCert. May be replaced while running.
	CRLURL              string // where the certificates of providers say that CRL is; alfa's daemons look there each second
	Bin                 string
	Clock               string // by what its text says, as "+13h", the daemons' clock is ahead; Postfix's and Dovecot's are not
	DirectoryP7M        string // what beta reads and DirectoryURL serves; may be replaced while running
	DirectoryURL        string
	DirectorySignerCA   string
	DirectorySignerCert string
	DirectorySignerKey  string
	ClientCert          string // of a provider, for DirectoryURL
	ClientKey           string

	RevokedCert, RevokedKey   string // in delta's record of the directory, revoked
	ExpiredCert, ExpiredKey   string // in delta's record of the directory, expired
	LeavingCert, LeavingKey   string // in delta's record of the directory, good until a tester revokes it
	StrangerCert, StrangerKey string // of delta by its subject and of the right CA, in no record

	options     Options
	runtime     string
	accounts    *accounts
	confinement confinement
	keys        *keyring
	processes   *supervise.Supervisor
	web         *http.Server
	lists       *http.Server
	stamps      []*http.Server
}

// Start starts a fresh lab and returns when all its ports and sockets answer. When
// it fails it leaves nothing running. It needs root, as Postfix does.
func Start(ctx context.Context, o Options) (*Lab, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("the lab runs Postfix and Dovecot, whose masters need root: run it as root")
	}
	// Others must enter the folders that this process makes, whatever its user's mask.
	defer syscall.Umask(syscall.Umask(0o022))
	l, err := prepare(ctx, o)
	if err == nil {
		err = l.launch(ctx)
	}
	if err != nil {
		tails := ""
		if l != nil {
			tails = l.tails()
			_ = l.Stop() // the first error says more
		}
		return nil, fmt.Errorf("start the lab: %w%s", err, tails)
	}
	return l, nil
}

// Stop ends every process and removes the runtime folder; of Dir only the logs stay.
func (l *Lab) Stop() error {
	if l.web != nil {
		_ = l.web.Close() // it serves nobody any more
	}
	if l.lists != nil {
		_ = l.lists.Close() // likewise
	}
	if l.processes != nil {
		l.processes.Close()
	}
	for _, server := range l.stamps {
		_ = server.Close() // likewise
	}
	return errors.Join(os.RemoveAll(l.runtime), os.RemoveAll(l.pids()), os.RemoveAll(runtimeFile(l.options.Dir)))
}

// Processes are the lab's processes, named alfa-milter, alfa-lda, alfa-clamd,
// alfa-postfix, alfa-out, alfa-dovecot, and so for beta; gamma-postfix, gamma-dovecot.
func (l *Lab) Processes() *supervise.Supervisor { return l.processes }

// Runtime is the folder under the temporary directory that Stop removes.
func (l *Lab) Runtime() string { return l.runtime }

// Hosts are alfa, beta and gamma.
func (l *Lab) Hosts() []*Host { return []*Host{l.Alfa, l.Beta, l.Gamma} }

func (l *Lab) logPath(name string) string {
	return filepath.Join(l.options.Dir, "log", name+".log")
}

// pids is the folder of the pid files.
func (l *Lab) pids() string { return filepath.Join(l.options.Dir, "pid") }

// Gifts are the private keys that the lab gives away, so that anyone can be delta, the authorities or a client.
func (l *Lab) Gifts() []string {
	return []string{l.CAKey, l.ClientKey, l.DirectorySignerKey, l.RevokedKey, l.ExpiredKey, l.StrangerKey, l.LeavingKey, l.Delta.Key,
		l.Delta.NextKey, l.Delta.UnitKey}
}

// prepare makes everything that is on disk.
func prepare(ctx context.Context, o Options) (*Lab, error) {
	if !filepath.IsAbs(o.Dir) {
		return nil, fmt.Errorf("%q is not an absolute path", o.Dir)
	}
	if o.Patience == 0 {
		o.Patience = time.Minute
	}
	l := &Lab{options: o, Bin: o.Bin}
	var err error
	if l.accounts, err = findAccounts(); err != nil {
		return nil, err
	}
	l.confinement = l.accounts.findConfinement()
	if err := folders(o.Dir, filepath.Join(o.Dir, "log"), l.pids()); err != nil {
		return nil, err
	}
	if err := l.makeRuntime(); err != nil {
		return nil, err
	}
	if err := l.place(); err != nil {
		return l, err
	}
	l.processes = supervise.New(l.pids(), clock.System{})
	return l, l.writeAll(ctx)
}

// runtimePrefix begins the name of every runtime folder.
const runtimePrefix = "cl-"

// longestSocket is what follows the runtime folder in the longest socket path.
const longestSocket = "/alfa/out-queue/private/ceralacca-agent.xx"

// makeRuntime makes the short folder under the temporary directory: a socket's path
// has at most 107 bytes, and Postfix's user must be able to enter.
func (l *Lab) makeRuntime() error {
	sweepStale()
	folder, err := os.MkdirTemp("", runtimePrefix)
	if err != nil {
		return err
	}
	l.runtime = folder
	if err := os.WriteFile(ownerFile(folder), []byte(strconv.Itoa(os.Getpid())+"\n"), 0o644); err != nil {
		return errors.Join(err, os.RemoveAll(folder))
	}
	if err := os.WriteFile(runtimeFile(l.options.Dir), []byte(folder+"\n"), 0o644); err != nil {
		return errors.Join(err, os.RemoveAll(folder))
	}
	if len(folder)+len(longestSocket) > 107 {
		return errors.Join(fmt.Errorf("%s is too long for sockets: set TMPDIR to a shorter folder", folder), os.RemoveAll(folder))
	}
	return os.Chmod(folder, 0o755)
}

// place gives hosts addresses, ports and paths.
func (l *Lab) place() error {
	n := newNetwork()
	l.Alfa, l.Beta, l.Gamma = newHosts()
	for _, h := range l.Hosts() {
		h.Address = n.address()
		if err := h.choose(); err != nil {
			return err
		}
		h.locate(l.runtime, filepath.Join(l.options.Dir, "log"))
	}
	var err error
	if l.Delta, err = newDelta(n.address()); err != nil {
		return err
	}
	l.name()
	return nil
}

// name gives the lab's own files their paths.
func (l *Lab) name() {
	pair := func(name string, cert, key *string) { *cert, *key = l.pkiPath(name)+".crt", l.pkiPath(name)+".key" }
	pair("ca", &l.CA, &l.CAKey)
	pair("client", &l.ClientCert, &l.ClientKey)
	pair("directory-signer", &l.DirectorySignerCert, &l.DirectorySignerKey)
	pair("revoked", &l.RevokedCert, &l.RevokedKey)
	pair("expired", &l.ExpiredCert, &l.ExpiredKey)
	pair("leaving", &l.LeavingCert, &l.LeavingKey)
	pair("stranger", &l.StrangerCert, &l.StrangerKey)
	pair("delta", &l.Delta.Cert, &l.Delta.Key)
	pair("delta-next", &l.Delta.NextCert, &l.Delta.NextKey)
	pair("delta-unit", &l.Delta.UnitCert, &l.Delta.UnitKey)
	for _, h := range []*Host{l.Alfa, l.Beta} {
		pair(h.Name, &h.Cert, &h.Key)
		h.MilterPID = filepath.Join(l.pids(), h.Name+"-"+roleMilter+".pid")
		h.ClamdPID = filepath.Join(l.pids(), h.Name+"-"+roleClamd+".pid")
		h.LDAPID = filepath.Join(l.pids(), h.Name+"-"+roleAgent+".pid")
	}
	for _, h := range l.Hosts() {
		h.DovecotPID = filepath.Join(l.pids(), h.Name+"-dovecot.pid")
	}
	l.DirectorySignerCA = l.pkiPath("directory-ca") + ".crt"
	l.CRL = l.pkiPath("ca") + ".crl"
	l.Clock = filepath.Join(l.runtime, "clock")
	l.DirectoryP7M = filepath.Join(l.directoryFolder(), "igpec.ldif.p7m")
}

// writeAll makes keys, the directory, and each host's configuration.
func (l *Lab) writeAll(ctx context.Context) error {
	if err := folders(filepath.Join(l.runtime, "pki"), l.directoryFolder()); err != nil {
		return err
	}
	if err := os.WriteFile(l.Clock, []byte("+0s\n"), 0o644); err != nil {
		return err
	}
	if err := ownedFolder(l.tmp(), 0o711, l.accounts.daemon, l.accounts.group); err != nil {
		return err
	}
	err := l.serveLists()
	if err != nil {
		return err
	}
	if l.keys, err = newKeyring(l.Alfa, l.Beta, l.Delta, l.CRLURL, clock.System{}.Now()); err != nil {
		return err
	}
	if err := l.writeKeys(l.keys); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", hostPort(l.Gamma.Address, 0))
	if err != nil {
		return err
	}
	l.DirectoryURL = fmt.Sprintf("https://%s/igpec.ldif.p7m", listener.Addr())
	if err := l.serveDirectory(listener); err != nil {
		return err
	}
	if err := l.writeDirectory(ctx); err != nil {
		return err
	}
	if l.options.Daemons {
		if err := l.copyPrograms(); err != nil {
			return err
		}
	}
	for _, h := range l.Hosts() {
		if err := l.writeHost(h); err != nil {
			return err
		}
	}
	return nil
}

func (l *Lab) writeHost(h *Host) error {
	if err := folders(h.root, h.path("etc")); err != nil {
		return err
	}
	v, err := l.values(h)
	if err != nil {
		return err
	}
	if err := l.writePostfix(h, v); err != nil {
		return err
	}
	if err := l.writeDovecot(h, v); err != nil {
		return err
	}
	if !h.certified() {
		return nil
	}
	if err := l.writeOut(h, v); err != nil {
		return err
	}
	return l.writeDaemon(h)
}

// launch starts all processes and waits until they answer.
func (l *Lab) launch(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, l.options.Patience)
	defer cancel()
	err := all(
		func() error { return l.launchHost(ctx, l.Alfa) },
		func() error { return l.launchHost(ctx, l.Beta) },
		func() error { return l.launchHost(ctx, l.Gamma) },
	)
	if err != nil {
		return err
	}
	return l.ready(ctx)
}

func (l *Lab) launchHost(ctx context.Context, h *Host) error {
	if h.certified() && l.scans() {
		if err := l.startClamd(h); err != nil {
			return err
		}
	}
	if err := l.startDovecot(h); err != nil {
		return err
	}
	if h.certified() {
		if l.options.Daemons {
			if err := errors.Join(l.startDaemon(h, roleAgent), l.startDaemon(h, roleMilter)); err != nil {
				return err
			}
		}
		if err := l.startPostfix(ctx, h.Name+"-out", h.OutConfig); err != nil {
			return err
		}
	}
	return l.startPostfix(ctx, h.Name+"-postfix", h.PostfixConfig)
}

// ready waits until every port and socket of the lab answers.
func (l *Lab) ready(ctx context.Context) error {
	for _, h := range l.Hosts() {
		for _, port := range []int{h.MXPort, h.SubmissionPort, h.IMAPSPort, h.OrdinaryMXPort, h.OutPort} {
			if port == 0 {
				continue
			}
			if err := answers(ctx, "tcp", hostPort(h.Address, port)); err != nil {
				return err
			}
		}
		sockets := []string{h.LMTPSocket}
		if h.certified() && l.options.Daemons {
			sockets = append(sockets, h.SubmissionSocket, h.IncomingSocket, h.AgentSocket, h.DSNSocket, h.TLSPolicySocket)
		}
		if h.certified() && l.scans() {
			sockets = append(sockets, h.ClamdSocket)
		}
		for _, s := range sockets {
			if err := answers(ctx, "unix", s); err != nil {
				return err
			}
		}
	}
	return nil
}

// tails are the last lines of every log, for the error of a start that failed.
func (l *Lab) tails() string {
	var b strings.Builder
	logs, _ := filepath.Glob(l.logPath("*")) // the pattern is well formed
	for _, name := range logs {
		raw, err := os.ReadFile(name)
		if err != nil || len(raw) == 0 {
			continue
		}
		lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
		fmt.Fprintf(&b, "\n--- %s\n%s", filepath.Base(name), strings.Join(lines[max(0, len(lines)-8):], "\n"))
	}
	return b.String()
}
