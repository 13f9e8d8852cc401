package lab_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"

	"github.com/ceralacca/ceralacca/deploy/lab"
	"github.com/ceralacca/ceralacca/deploy/lab/client"
	"github.com/ceralacca/ceralacca/internal/conformance"
)

func TestEveryUserLogsIn(t *testing.T) {
	conformance.Covers(t, "C227", "C245")
	for _, h := range shared.Hosts() {
		users := append(append([]lab.User{}, h.Users...), h.OrdinaryUsers...)
		if h.Provider != "" {
			users = append(users, h.ServiceUser, h.FullUser, h.DisabledUser)
		}
		for _, u := range users {
			if _, err := shared.env.Fetch(strings.ToUpper(h.Name), login(u)); err != nil {
				t.Errorf("%s: %v", u.Address, err)
			}
		}
		if _, err := shared.env.Fetch(strings.ToUpper(h.Name), client.Login{Address: h.Users[0].Address, Password: "wrong"}); err == nil {
			t.Errorf("%s: a wrong password is taken", h.Name)
		}
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	conformance.Covers(t, "C254")
	h := shared.Alfa
	address := net.JoinHostPort(h.Address, strconv.Itoa(h.IMAPSPort))
	if _, err := tls.Dial("tcp", address, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11, InsecureSkipVerify: true}); err == nil {
		t.Error("IMAPS takes TLS 1.1")
	}
	c, err := smtp.Dial(net.JoinHostPort(h.Address, strconv.Itoa(h.SubmissionPort)))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got, want := code(c.Mail(h.Users[0].Address, nil)), "530 5.7.0"; got != want {
		t.Errorf("MAIL without STARTTLS: got %q, want %q", got, want)
	}
}

func TestDovecotAnswersForEachKindOfMailbox(t *testing.T) {
	h := shared.Beta
	for _, c := range []struct{ what, to, want string }{
		{"working", h.Users[0].Address, ""},
		{"full", h.FullUser.Address, "552 5.2.2"},
		{"unknown", h.Unknown, "550 5.1.1"},
		{"disabled: it is the agent that refuses", h.DisabledUser.Address, ""},
	} {
		conn, err := net.Dial("unix", h.LMTPSocket)
		if err != nil {
			t.Fatal(err)
		}
		l := smtp.NewClientLMTP(conn)
		if err := l.Mail("", nil); err != nil {
			t.Fatal(err)
		}
		if got := code(l.Rcpt(c.to, nil)); got != c.want {
			t.Errorf("RCPT of a mailbox that is %s: got %q, want %q", c.what, got, c.want)
		}
		_ = l.Close()
	}
}

// userdb asks Dovecot's userdb socket about an address, as ceralacca does.
func userdb(t *testing.T, h *lab.Host, address string) string {
	t.Helper()
	conn, err := net.Dial("unix", h.UserdbSocket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "VERSION\t1\t1\nUSER\t1\t%s\tservice=ceralacca\n", address)
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		if word, _, _ := strings.Cut(lines.Text(), "\t"); word == "USER" || word == "NOTFOUND" || word == "FAIL" {
			return lines.Text()
		}
	}
	t.Fatalf("no answer about %s: %v", address, lines.Err())
	return ""
}

func TestUserdbSaysWhichMailboxIsDisabled(t *testing.T) {
	h := shared.Alfa
	if got := userdb(t, h, h.DisabledUser.Address); !strings.Contains(got, "\tceralacca_disabled=yes") {
		t.Errorf("disabled mailbox: got %q", got)
	}
	if got := userdb(t, h, h.Users[0].Address); !strings.HasPrefix(got, "USER\t") || strings.Contains(got, "ceralacca_disabled") {
		t.Errorf("working mailbox: got %q", got)
	}
	if got := userdb(t, h, h.Unknown); !strings.HasPrefix(got, "NOTFOUND\t") {
		t.Errorf("unknown mailbox: got %q", got)
	}
}

func TestMasterUserReadsAnyMailbox(t *testing.T) {
	h := shared.Alfa
	master := lab.User{Address: h.FullUser.Address + "*" + h.MasterUser.Address, Password: h.MasterUser.Password}
	list, err := shared.env.Fetch("ALFA", login(master))
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 1 || list[0].Header.Get("Subject") != "filler" {
		t.Errorf("messages in the full mailbox: got %d, want the filler", len(list))
	}
	master.Address = h.OrdinaryUsers[0].Address + "*" + "nobody"
	if _, err := shared.env.Fetch("ALFA", login(master)); err == nil {
		t.Error("a master user that does not exist logs in")
	}
}
