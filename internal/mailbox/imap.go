package mailbox

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/ceralacca/ceralacca/internal/rawmsg"
	"github.com/ceralacca/ceralacca/pec"
)

// IMAP is where and as whom mailboxes are read.
type IMAP struct {
	// Network and Address are those of Dovecot's IMAP service.
	Network, Address string
	// TLS is how to speak it; nil means in clear, which Dovecot allows on its own host only.
	TLS *tls.Config
	// Master and Password are those of a master user of Dovecot; Separator stands between user and master, "*" when
	// empty.
	Master, Password, Separator string
	// Spool is the folder for unlinked temporary files.
	Spool string
}

const searchTimeout = 5 * time.Minute

// Match tells whether a message of a mailbox is the one looked for. It MUST NOT keep the Source.
type Match func(pec.Source) (bool, error)

// Holds looks in every folder of a mailbox for a message with this Message-ID (with angle brackets) that match accepts.
// Nothing is changed, no flag is set. Every error is temporary: nothing is known. [C159]
func (m *Mailboxes) Holds(ctx context.Context, box pec.Address, messageID string, match Match) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, searchTimeout)
	defer cancel()
	found := false
	account, err := m.account(ctx, box)
	if err == nil {
		found, err = m.search(ctx, account, query{messageID: messageID, match: match})
	}
	if ctx.Err() != nil {
		err = ctx.Err() // rather than the error of the connection that it closed
	}
	if err != nil {
		return false, fmt.Errorf("mailbox: %q: imap: %w", box, err)
	}
	return found, nil
}

type query struct {
	messageID string
	match     Match
}

func (m *Mailboxes) search(ctx context.Context, box pec.Address, q query) (bool, error) {
	conn, err := m.dialIMAP(ctx)
	if err != nil {
		return false, err
	}
	c := imapclient.New(conn, nil)
	defer c.Close()
	defer context.AfterFunc(ctx, func() { _ = c.Close() })() // ends the exchange; its error says so
	separator := m.o.IMAP.Separator
	if separator == "" {
		separator = "*"
	}
	if err := c.Login(box.String()+separator+m.o.IMAP.Master, m.o.IMAP.Password).Wait(); err != nil {
		return false, err
	}
	folders, err := c.List("", "*", nil).Collect()
	if err != nil {
		return false, err
	}
	for _, f := range folders {
		if hasAttr(f.Attrs, imap.MailboxAttrNoSelect) || hasAttr(f.Attrs, imap.MailboxAttrNonExistent) {
			continue
		}
		found, err := m.searchFolder(c, f.Mailbox, q)
		if found || err != nil {
			return found, err
		}
	}
	return false, nil
}

func (m *Mailboxes) dialIMAP(ctx context.Context) (net.Conn, error) {
	if m.o.IMAP.TLS == nil {
		return (&net.Dialer{}).DialContext(ctx, m.o.IMAP.Network, m.o.IMAP.Address)
	}
	return (&tls.Dialer{Config: m.o.IMAP.TLS}).DialContext(ctx, m.o.IMAP.Network, m.o.IMAP.Address)
}

func (m *Mailboxes) searchFolder(c *imapclient.Client, folder string, q query) (bool, error) {
	if _, err := c.Select(folder, &imap.SelectOptions{ReadOnly: true}).Wait(); err != nil {
		return false, err
	}
	field := imap.SearchCriteriaHeaderField{Key: "Message-ID", Value: q.messageID}
	hits, err := c.UIDSearch(&imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{field}}, nil).Wait()
	if err != nil {
		return false, err
	}
	for _, uid := range hits.AllUIDs() {
		found, err := m.compare(c, uid, q.match)
		if found || err != nil {
			return found, err
		}
	}
	return false, nil
}

// compare fetches one message, streaming, and asks match.
func (m *Mailboxes) compare(c *imapclient.Client, uid imap.UID, match Match) (bool, error) {
	section := &imap.FetchItemBodySection{Peek: true}
	fetch := c.Fetch(imap.UIDSetNum(uid), &imap.FetchOptions{BodySection: []*imap.FetchItemBodySection{section}})
	captured, err := m.capture(fetch)
	if closeErr := fetch.Close(); err == nil {
		err = closeErr
	}
	if err != nil || captured == nil {
		return false, err
	}
	defer captured.Close()
	return match(captured)
}

// capture returns the message of a FETCH, nil when it is gone.
func (m *Mailboxes) capture(fetch *imapclient.FetchCommand) (*rawmsg.Message, error) {
	message := fetch.Next()
	if message == nil {
		return nil, nil
	}
	for item := message.Next(); item != nil; item = message.Next() {
		body, ok := item.(imapclient.FetchItemDataBodySection)
		if !ok || body.Literal == nil {
			continue
		}
		w := rawmsg.NewWriter(m.o.IMAP.Spool)
		if _, err := io.Copy(w, body.Literal); err != nil {
			w.Discard()
			return nil, err
		}
		return w.Finish()
	}
	return nil, errors.New("a FETCH without its body")
}

func hasAttr(list []imap.MailboxAttr, a imap.MailboxAttr) bool {
	for _, one := range list {
		if one == a {
			return true
		}
	}
	return false
}
