package lab

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab/supervise"
)

// fullQuota is the quota of a full mailbox; the filler in it is larger.
const fullQuota, fillerSize = "20000", 30000

func (l *Lab) dovecotValues(h *Host, v values) {
	v.set("DOVECOT_RUN", h.path("run"))
	v.set("DOVECOT_LOG", l.logPath(h.Name+"-dovecot"))
	v.set("MAIL_UID", l.accounts.mail)
	v.set("MAIL", h.path("mail"))
	v.set("IMAPS_PORT", h.IMAPSPort)
	v.set("USERS", h.path("dovecot", "users"))
	v.set("ORDINARY_USERS", h.path("dovecot", "ordinary-users"))
	v.set("MASTER_USERS", h.path("dovecot", "master-users"))
	v.set("USERDB_SOCKET", h.UserdbSocket)
}

// writeDovecot writes the host's Dovecot: the base, then ceralacca's part.
func (l *Lab) writeDovecot(h *Host, v values) error {
	if err := folders(h.path("dovecot"), h.path("run"), h.path("mda")); err != nil {
		return err
	}
	if err := ownedFolder(h.path("mail"), 0o700, l.accounts.mail, l.accounts.mail); err != nil {
		return err
	}
	parts := []part{ofBase("dovecot.conf")}
	if h.certified() {
		parts = append(parts, ofDovecot("2.3/ceralacca.conf"))
	} else {
		parts = append(parts, ofBase("gamma.dovecot.conf"))
	}
	if h.OrdinaryDomain != "" {
		parts = append(parts, ofBase("ordinary.dovecot.conf"))
	}
	if err := write(h.DovecotConfig, v, parts...); err != nil {
		return err
	}
	return l.writeUsers(h)
}

func (l *Lab) writeUsers(h *Host) error {
	extra := map[User]string{
		h.FullUser:     "userdb_quota_rule=*:bytes=" + fullQuota,
		h.DisabledUser: "userdb_ceralacca_disabled=yes",
	}
	if err := l.writePasswd(h.path("dovecot", "users"), extra, h.mailboxes()...); err != nil {
		return err
	}
	if err := l.writePasswd(h.path("dovecot", "ordinary-users"), nil, h.OrdinaryUsers...); err != nil {
		return err
	}
	if !h.certified() {
		return nil
	}
	local := map[User]string{h.MasterUser: "allow_nets=127.0.0.0/8"}
	if err := l.writePasswd(h.path("dovecot", "master-users"), local, h.MasterUser); err != nil {
		return err
	}
	return l.fill(h)
}

// writePasswd writes a passwd-file that Dovecot's authentication may read.
func (l *Lab) writePasswd(name string, extra map[User]string, users ...User) error {
	var b strings.Builder
	for _, u := range users {
		b.WriteString(u.Address + ":{PLAIN}" + u.Password + "::::::" + extra[u] + "\n")
	}
	return os.WriteFile(name, []byte(b.String()), 0o644)
}

// fill puts a message into the full mailbox that is larger than its quota.
func (l *Lab) fill(h *Host) error {
	name, domain, _ := strings.Cut(h.FullUser.Address, "@")
	home := h.path("mail", domain, name)
	for _, f := range []string{"", "Maildir", "Maildir/cur", "Maildir/new", "Maildir/tmp"} {
		if err := ownedFolder(filepath.Join(home, f), 0o700, l.accounts.mail, l.accounts.mail); err != nil {
			return err
		}
	}
	if err := os.Chown(filepath.Dir(home), l.accounts.mail, l.accounts.mail); err != nil {
		return err
	}
	text := "From: " + h.FullUser.Address + "\nSubject: filler\n\n" + strings.Repeat("full\n", fillerSize/5)
	file := filepath.Join(home, "Maildir", "new", "1.filler.lab")
	return writeSecret(file, []byte(text), l.accounts.mail)
}

func (l *Lab) startDovecot(h *Host) error {
	program, err := exec.LookPath("dovecot")
	if err != nil {
		return err
	}
	return l.processes.Start(supervise.Program{
		Name: h.Name + "-dovecot",
		Args: []string{program, "-F", "-c", h.DovecotConfig},
		Log:  l.logPath(h.Name + "-dovecot"),
		// Ended right after its start it would wait for its children for seconds.
		Stop: 2 * time.Second,
	})
}
