package mailbox

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/ceralacca/ceralacca/pec"
)

// disabledField is the extra field of a userdb reply by which an administrator says that a mailbox takes no mail.
const disabledField = "ceralacca_disabled=yes"

// The protocol of the auth-userdb socket (Dovecot 2.3 and 2.4, doc "Authentication Protocol", master side): lines of
// fields with a tab between them.
const (
	protocolMajor = "1"
	requestID     = "1"
	maxReplyLine  = 64 << 10
)

// user asks Dovecot for one address.
func (m *Mailboxes) user(ctx context.Context, a pec.Address) (State, error) {
	ctx, cancel := context.WithTimeout(ctx, userTimeout)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", m.o.UserDB)
	if err != nil {
		return Unknown, fmt.Errorf("userdb: %w", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })() // ends the exchange; its error says so
	return ask(conn, a)
}

func ask(conn net.Conn, a pec.Address) (State, error) {
	if strings.ContainsAny(a.String(), "\t\r\n\x00\x01") {
		return Unknown, nil // cannot be written on the wire, and no mailbox has such a name
	}
	_, err := fmt.Fprintf(conn, "VERSION\t%s\t0\nUSER\t%s\t%s\tservice=lmtp\n", protocolMajor, requestID, a)
	if err != nil {
		return Unknown, fmt.Errorf("userdb: %w", err)
	}
	lines := bufio.NewScanner(conn)
	lines.Buffer(nil, maxReplyLine)
	for lines.Scan() {
		if state, done, err := parseReply(lines.Text()); done || err != nil {
			return state, err
		}
	}
	if err := lines.Err(); err != nil {
		return Unknown, fmt.Errorf("userdb: %w", err)
	}
	return Unknown, errors.New("userdb: the connection was closed before the answer")
}

// parseReply reads one line of Dovecot's; done says that it is the answer.
func parseReply(line string) (state State, done bool, err error) {
	field := strings.Split(line, "\t")
	switch field[0] {
	case "VERSION":
		if len(field) < 2 || field[1] != protocolMajor {
			return Unknown, false, fmt.Errorf("userdb: %.100q: only version 1 is understood", line)
		}
		return Unknown, false, nil
	case "USER", "NOTFOUND", "FAIL":
		if len(field) < 2 || field[1] != requestID {
			return Unknown, false, fmt.Errorf("userdb: %.100q answers another question", line)
		}
	default:
		return Unknown, false, nil // SPID and what later versions say at the start
	}
	switch field[0] {
	case "NOTFOUND":
		return Unknown, true, nil
	case "FAIL": // of the database, never of the user
		return Unknown, false, fmt.Errorf("userdb: Dovecot cannot say: %.200q", strings.Join(field[2:], " "))
	}
	for _, extra := range field[min(3, len(field)):] {
		if strings.EqualFold(extra, disabledField) {
			return Disabled, true, nil
		}
	}
	return Known, true, nil
}
