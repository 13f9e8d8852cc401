package kill

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
)

// Moments at which the milter dies. Postfix hands it header and body after the final dot, so that all its work on a
// message lies between the dot and the answer; how far it has come is seen in what the process has read and written.
var (
	afterMail  = moment{step: "MAIL"}
	afterRcpt  = moment{step: "RCPT"}
	inData     = moment{step: "half the data"}
	beforeDot  = moment{step: "all the data"}
	atDot      = moment{step: "dot", bytes: 64 << 10}
	reading    = moment{step: "dot", bytes: 10 << 20}
	readAll    = moment{step: "dot", bytes: 41 << 20}
	composing  = moment{step: "dot", bytes: 55 << 20}
	afterReply = moment{step: "reply"}
)

// moment is a step of an SMTP transaction, and the number of bytes that the milter has read and written since.
type moment struct {
	step  string
	bytes int64
}

func TestKillMilterSubmissionAfterMail(t *testing.T) {
	killMilter(t, way{"C183", openSubmission}, afterMail)
}
func TestKillMilterSubmissionAfterRcpt(t *testing.T) {
	killMilter(t, way{"C183", openSubmission}, afterRcpt)
}
func TestKillMilterSubmissionInData(t *testing.T) { killMilter(t, way{"C183", openSubmission}, inData) }
func TestKillMilterSubmissionBeforeDot(t *testing.T) {
	killMilter(t, way{"C183", openSubmission}, beforeDot)
}
func TestKillMilterSubmissionAtDot(t *testing.T) { killMilter(t, way{"C183", openSubmission}, atDot) }
func TestKillMilterSubmissionReading(t *testing.T) {
	killMilter(t, way{"C183", openSubmission}, reading)
}
func TestKillMilterSubmissionReadAll(t *testing.T) {
	killMilter(t, way{"C183", openSubmission}, readAll)
}
func TestKillMilterSubmissionComposing(t *testing.T) {
	killMilter(t, way{"C183", openSubmission}, composing)
}
func TestKillMilterSubmissionAfterReply(t *testing.T) {
	killMilter(t, way{"C183", openSubmission}, afterReply)
}
func TestKillMilterIncomingAfterMail(t *testing.T) {
	killMilter(t, way{"C119", openIncoming}, afterMail)
}
func TestKillMilterIncomingAfterRcpt(t *testing.T) {
	killMilter(t, way{"C119", openIncoming}, afterRcpt)
}
func TestKillMilterIncomingInData(t *testing.T) { killMilter(t, way{"C119", openIncoming}, inData) }
func TestKillMilterIncomingBeforeDot(t *testing.T) {
	killMilter(t, way{"C119", openIncoming}, beforeDot)
}
func TestKillMilterIncomingAtDot(t *testing.T)   { killMilter(t, way{"C119", openIncoming}, atDot) }
func TestKillMilterIncomingReading(t *testing.T) { killMilter(t, way{"C119", openIncoming}, reading) }
func TestKillMilterIncomingReadAll(t *testing.T) { killMilter(t, way{"C119", openIncoming}, readAll) }
func TestKillMilterIncomingComposing(t *testing.T) {
	killMilter(t, way{"C119", openIncoming}, composing)
}
func TestKillMilterIncomingAfterReply(t *testing.T) {
	killMilter(t, way{"C119", openIncoming}, afterReply)
}

// way is how a message comes in at alfa: the row of the table that says what becomes of it, and a session, from whom,
// and what lies in the mailboxes when it was taken.
type way struct {
	row  string
	open func(t *testing.T) (c *smtp.Client, from, to string, want map[string][]pec.Kind, err error)
}

// openSubmission: a user of alfa writes to another.
func openSubmission(t *testing.T) (*smtp.Client, string, string, map[string][]pec.Kind, error) {
	from, to := env.Users("ALFA")[0], env.Users("ALFA")[1].Address
	c, err := dial(t, "SUBMISSION_PORT")
	if err == nil {
		err = c.Auth(sasl.NewPlainClient("", from.Address, from.Password))
	}
	return c, from.Address, to, map[string][]pec.Kind{
		from.Address:    {pec.KindAcceptance, pec.KindDelivery},
		to:              {pec.KindTransport},
		service("ALFA"): {pec.KindTakeCharge},
	}, err
}

// openIncoming: ordinary mail from gamma.
func openIncoming(t *testing.T) (*smtp.Client, string, string, map[string][]pec.Kind, error) {
	to := env.Users("ALFA")[1].Address
	c, err := dial(t, "MX_PORT")
	return c, env.Users("GAMMA")[0].Address, to, map[string][]pec.Kind{to: {pec.KindAnomaly}}, err
}

// dial opens a session. Its error may be that of Postfix, whose milter is not there yet.
func dial(t *testing.T, port string) (*smtp.Client, error) {
	t.Helper()
	c, err := env.Dial("ALFA", port)
	if err == nil {
		t.Cleanup(func() { _ = c.Close() })
	}
	if reply, isReply := errors.AsType[*smtp.SMTPError](err); err != nil && (!isReply || !reply.Temporary()) {
		t.Fatal(err)
	}
	return c, err
}

// bulk is the size of the message while whose end is worked on the milter dies.
const bulk = 20 << 20

// killMilter kills alfa's milter at a moment of a transaction. The client hears a temporary error and nothing lies
// anywhere, or it hears 250 and everything does; and a new session finds a milter again.
func killMilter(t *testing.T, in way, at moment) {
	conformance.Covers(t, in.row)
	c, from, to, want, err := in.open(t)
	if err != nil {
		t.Fatal(err)
	}
	size := 1 << 10
	if at.step == "dot" {
		size = bulk
	}
	ref, raw := big(t, from, to, size)
	killed := make(chan struct{})
	err = transact(c, from, to, raw, func(step string) {
		if step != at.step {
			return
		}
		pid := world.Processes().PID("alfa-milter")
		start := moved(pid)
		go func() {
			defer close(killed)
			for end := time.Now().Add(patience); moved(pid)-start < at.bytes && time.Now().Before(end); {
				time.Sleep(time.Millisecond)
			}
			_ = syscall.Kill(pid, syscall.SIGKILL) // the pid is not reused as long as the supervisor has not waited for it
		}()
		if at.bytes == 0 {
			<-killed
		}
	})
	select {
	case <-killed:
	case <-time.After(patience):
		t.Fatalf("the milter was not killed at %s; the client hears %v", at.step, err)
	}
	t.Logf("the client hears: %v", err)
	reply, isReply := errors.AsType[*smtp.SMTPError](err)
	switch {
	case err == nil:
		settle(t, ref, want)
	case isReply && reply.Code >= 400 && reply.Code < 500:
		settle(t, ref, nil)
	default:
		t.Errorf("the client hears %v, want a temporary error or none", err)
	}
	if wantsError := at.step != "reply"; at.bytes == 0 && wantsError != (err != nil) {
		t.Errorf("killed at %s the client hears %v", at.step, err)
	}
	again(t, in)
	empty(t, env.Users("ALFA")[0]) // large messages, which all later tests would fetch
	empty(t, env.Users("ALFA")[1])
}

// again opens new sessions until a message is taken: the supervisor starts the milter within two seconds on a machine
// that is not busy.
func again(t *testing.T, in way) {
	t.Helper()
	start := time.Now()
	var ref string
	var want map[string][]pec.Kind
	until(t, "a new session is served", func() bool {
		c, from, to, all, err := in.open(t)
		if err != nil {
			return false
		}
		defer func() { _ = c.Close() }()
		var raw []byte
		ref, raw = letter(t, from, to)
		want = all
		return transact(c, from, to, raw, func(string) {}) == nil
	})
	t.Logf("a new session was served %s after all was quiet", time.Since(start).Round(time.Millisecond))
	settle(t, ref, want)
}

// transact makes one transaction and tells of its steps as they end.
func transact(c *smtp.Client, from, to string, raw []byte, after func(step string)) error {
	if err := c.Mail(from, nil); err != nil {
		return err
	}
	after("MAIL")
	if err := c.Rcpt(to, nil); err != nil {
		return err
	}
	after("RCPT")
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(raw[:len(raw)/2]); err != nil {
		return err
	}
	after("half the data")
	if _, err := w.Write(raw[len(raw)/2:]); err != nil {
		return err
	}
	after("all the data")
	after("dot")
	if err := w.Close(); err != nil {
		return err
	}
	after("reply")
	return nil
}

// big is a letter of some size.
func big(t *testing.T, from, to string, size int) (ref string, raw []byte) {
	t.Helper()
	ref, raw = letter(t, from, to)
	line := strings.Repeat("0123456789abcdef", 4) + "\r\n"
	return ref, append(raw, strings.Repeat(line, size/len(line))...)
}

// moved is how many bytes a process has read and written since it began, sockets and files alike.
func moved(pid int) int64 {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	if err != nil {
		return 0
	}
	var sum int64
	for line := range strings.Lines(string(raw)) {
		var n int64
		if _, err := fmt.Sscanf(line, "rchar: %d", &n); err == nil {
			sum += n
		}
		if _, err := fmt.Sscanf(line, "wchar: %d", &n); err == nil {
			sum += n
		}
	}
	return sum
}
