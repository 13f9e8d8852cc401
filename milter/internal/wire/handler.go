package wire

import (
	"context"
	"fmt"
	"strings"

	milter "github.com/emersion/go-milter"
)

// Macros are what Postfix says beside a command, by name: "i", "{auth_authen}". What Postfix does not know is not there.
type Macros map[string]string

// What Postfix is asked for. A list of ours empties the stages that it does not name.
func symbols() map[milter.Stage][]string {
	return map[milter.Stage][]string{
		milter.StageMailFrom: {"{auth_authen}", "{client_addr}", "{daemon_name}"},
		milter.StageEOM:      {"i"}, // Postfix has no queue id before the first recipient
	}
}

// Handler is one SMTP transaction. Its methods are called one after the other, from Mail to Close, never at once. Reply
// values other than Continue end the transaction, but for Rcpt, where they refuse the one recipient.
type Handler interface {
	// Mail begins; addr is without angle brackets, empty for the null sender. params are the ESMTP parameters as they
	// came.
	Mail(addr string, params []string) Reply
	// Rcpt names a recipient, as Mail does.
	Rcpt(addr string, params []string) Reply
	// Header is one field of the header: the name without colon, and the value from the byte after the colon, lines
	// ending with LF alone. value is good only during the call. Nothing can be answered before End.
	Header(name string, value []byte)
	// EndHeader says that the body follows.
	EndHeader()
	// Body is the next piece of the body, lines ending with CRLF, good only during the call.
	Body(p []byte)
	// End decides. ctx ends when the daemon cannot wait any more. e MUST NOT be used after End returned.
	End(ctx context.Context, m Macros, e *Edits) Reply
	// Close releases what the transaction holds, whether or not there was an End.
	Close()
}

// Reply is what Postfix is told. Its zero value is 451: what nobody decided is tried again.
type Reply struct {
	action milter.ActionCode
	text   string
}

// Continue lets the transaction go on, or at its end into the queue.
func Continue() Reply { return Reply{action: milter.ActContinue} }

// SMTP answers with a code (4xx or 5xx), an enhanced code and a text of one line. Anything else becomes a plain 451.
func SMTP(code int, enhanced, text string) Reply {
	if code < 400 || code > 599 || strings.ContainsAny(enhanced+text, "\x00\r\n") {
		return Reply{}
	}
	return Reply{milter.ActReplyCode, fmt.Sprintf("%d %s %s", code, enhanced, text)}
}

// String is the text of the reply for the log and for tests.
func (r Reply) String() string {
	switch r.action {
	case milter.ActContinue:
		return "continue"
	case milter.ActReplyCode:
		return r.text
	}
	return "451 4.7.1 Service unavailable - try again later" // what Postfix says for us
}

func (r Reply) continues() bool { return r.action == milter.ActContinue }

// response is the reply in the form of the library. A percent sign is doubled: Postfix takes it for a format.
func (r Reply) response() milter.Response {
	switch r.action {
	case milter.ActContinue:
		return milter.RespContinue
	case milter.ActReplyCode:
		return milter.NewResponseStr(byte(milter.ActReplyCode), strings.ReplaceAll(r.text, "%", "%%"))
	}
	return milter.RespTempFail
}
