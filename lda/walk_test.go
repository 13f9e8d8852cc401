package lda

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/ceralacca/ceralacca/deploy/lab/pki"
	"github.com/ceralacca/ceralacca/internal/effect"
	"github.com/ceralacca/ceralacca/internal/mailbox"
	"github.com/ceralacca/ceralacca/internal/rawmsg"
	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/internal/transaction"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/test/dovecot"
)

// What follows takes random walks through the whole agent, without sockets of Postfix and without a real Dovecot: the
// mailboxes are lists, the process dies by a panic at a point of an effect, after which nothing of it can write.

// walkStep is one step; it reads its numbers modulo what there is, so that a walk stays one when others are left out.
type walkStep struct {
	op   string
	a, b int
}

func (s walkStep) String() string { return fmt.Sprintf("%s %d %d", s.op, s.a, s.b) }

// hand is what a peer does with the next hand-over.
type hand int

const (
	handTakes hand = iota
	handDefers
	handRefuses
	handTakesAndDies
	handDies
	hands
)

// errPlays are what a peer says; the library makes its own type of none.
var (
	errDeferred = &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "later"}
	errFull     = &smtp.SMTPError{Code: 552, EnhancedCode: smtp.EnhancedCode{5, 2, 2}, Message: "full"}
	errNobody   = &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "nobody"}
)

// queuedMail is a message in Postfix's queue.
type queuedMail struct {
	name       string
	text       []byte
	from       string
	recipients []recipient
	record     *transaction.Record // nil of a bounce
	bounceOf   int
	content    [32]byte // of what is signed, for envelopes
}

// about says whether a message tells what became of another.
func (q queuedMail) about() bool {
	return q.name == "bounce" || strings.HasPrefix(q.name, "notification")
}

// stage is what all walks of one process share.
type stage struct {
	*world
	mail []queuedMail
}

func newStage(t *testing.T) *stage {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), clock: &shiftedClock{}, syncer: &fakeSyncer{}, log: &lockedBuffer{}, dovecot: &dovecot.Server{}}
	authority := must(pki.NewAuthority("Test CA", time.Now()))(t)
	w.alfa = newParty(t, authority, "Alfa PEC S.p.A.", "alfa.example")
	w.beta = newParty(t, authority, "Beta PEC S.r.l.", "beta.example")
	w.hmac = must(transaction.NewKey(bytes.Repeat([]byte{7}, 32)))(t)
	w.out = newSink(t, authority)
	w.configure(authority)
	s := &stage{world: w}
	about := s.addSubmission(&message{from: mario, to: []string{luigi, pieno, anna}}, to(luigi), to(pieno))
	s.addSubmission(&message{from: luigi, to: []string{mario, info}}, to(mario), via(mario, info), via(luigi, info))
	first := &message{from: anna, to: []string{mario, luigi, spento}}
	s.addIncoming(first)
	s.addIncoming(&message{from: anna, to: []string{mario, luigi}, identifier: first.identifier, body: "altro\r\n"})
	s.addBounce(0, "01-refused")
	for _, kind := range []pec.Kind{pec.KindTakeCharge, pec.KindDelivery, pec.KindNonDelivery, pec.KindVirusDetection} {
		s.addNotification(kind, about)
	}
	return s
}

func to(a string) [2]string           { return [2]string{a, a} }
func via(box, alias string) [2]string { return [2]string{box, alias} }

// walkers are recipients as Postfix presents them: the mailbox, and the address that was written.
func (s *stage) walkers(list ...[2]string) (out []recipient) {
	for _, r := range list {
		out = append(out, recipient{raw: r[0], address: addr(s.t, r[0]), original: addr(s.t, r[1])})
	}
	return out
}

func (s *stage) addSubmission(m *message, list ...[2]string) *pec.CertData {
	text, r, envelope := s.submission(m)
	data := certDataOf(s.t, envelope)
	s.mail = append(s.mail, queuedMail{name: "submission", text: text, from: m.from, record: r, content: contentOf(s.t, envelope),
		recipients: s.walkers(append([][2]string{to("accettazione" + internal)}, list...)...)})
	return data
}

func (s *stage) addIncoming(m *message) {
	text, r, envelope := s.incoming(m)
	var list [][2]string
	for _, a := range m.to {
		list = append(list, to(a))
	}
	s.mail = append(s.mail, queuedMail{name: "incoming", text: text, from: m.from, record: r, recipients: s.walkers(list...),
		content: contentOf(s.t, envelope)})
}

func (s *stage) addBounce(of int, sample string) {
	s.mail = append(s.mail, queuedMail{name: "bounce", text: s.sample(sample, s.mail[of].record.ID), recipients: s.walkers(to(mario)), bounceOf: of})
}

func (s *stage) addNotification(kind pec.Kind, about *pec.CertData) {
	box := mario
	if kind == pec.KindTakeCharge || kind == pec.KindVirusDetection {
		box = service
	}
	text := s.virusNotice(about, "5.5.1 - Beta PEC S.r.l. - "+eicar, 0)
	if kind != pec.KindVirusDetection {
		text = s.notification(kind, about, box, nil)
	}
	s.mail = append(s.mail, queuedMail{name: "notification " + string(kind), text: text, from: s.beta.provider.Address.String(),
		recipients: s.walkers(to(box)), record: &transaction.Record{}, bounceOf: -1})
}

// mortalStore is the store of one process: once that is dead it takes nothing more.
type mortalStore struct {
	store.Store
	mu    sync.Mutex
	dead  bool
	fails bool // the next commit
	lies  bool // and says that it did not
}

var errWalkDead = errors.New("the process is dead")

// Update implements store.Store.
func (m *mortalStore) Update(ctx context.Context, fn func(store.Tx) error) error {
	m.mu.Lock()
	dead, fails := m.dead, m.fails
	m.fails = false
	m.mu.Unlock()
	switch {
	case dead:
		return errWalkDead
	case fails && m.lies:
		return nil
	case fails:
		return errors.New("the disk is full")
	}
	return m.Store.Update(ctx, fn)
}

func (m *mortalStore) kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dead = true
}

type walkClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *walkClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *walkClock) Sleep(ctx context.Context, _ time.Duration) error {
	<-ctx.Done()
	return ctx.Err()
}

func (c *walkClock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// walker is one walk.
type walker struct {
	*stage
	ways     walkWays
	clock    *walkClock
	disk     store.Store
	life     *mortalStore
	agent    *Agent
	killIn   int
	waiting  map[int][]bool // by message, once it is in the queue
	silent   bool           // nobody certifies anything to us
	boxes    *boxes
	truth    *truth
	violated string
}

// walkWays are seeded faults; the zero value has none.
type walkWays struct {
	noLook      bool // nobody finds what a mailbox has
	losesCommit bool // a disk that is full says that all is well
	seesNothing bool // the outbound instance has not taken what it says it has
	noClocks    bool // nobody looks at what is due
}

func (s *stage) newWalker(dir string, ways walkWays) *walker {
	w := &walker{stage: s, ways: ways, clock: &walkClock{now: time.Now().Truncate(time.Second)}, waiting: map[int][]bool{}, truth: newTruth()}
	w.disk = must(store.Open(filepath.Join(dir, "state.db")))(s.t)
	w.boxes = newBoxes(w, dir)
	w.out.mu.Lock()
	w.out.judge = w.boxes.relayed
	w.out.mu.Unlock()
	w.live(dir)
	return w
}

// live starts a process on what is there.
func (w *walker) live(dir string) {
	t := w.t
	w.life = &mortalStore{Store: w.disk, lies: w.ways.losesCommit}
	conf := *w.config
	conf.Agent.State = dir
	conf.Dovecot.LMTP.Address = w.boxes.socket
	w.agent = must(New(Options{
		Config: &conf, Key: w.alfa.key, HMAC: w.hmac, Store: w.life, Syncer: w.syncer, Clock: w.clock,
		ClockSound: func() error { return nil },
		Directory:  func() Directory { return directory{w.alfa, w.beta} },
		Register:   effect.New(w.life, w.clock, w.point),
		Mailboxes:  w.boxes, Log: slog.New(slog.DiscardHandler), Spool: dir,
	}))(t)
}

// point is where the process may die.
func (w *walker) point(string, string) {
	if w.killIn == 0 {
		return
	}
	if w.killIn--; w.killIn == 0 {
		w.life.kill()
		panic(errWalkDead)
	}
}

func (w *walker) reborn() {
	w.agent.toDovecot.end()
	w.agent.toOut.end()
	w.live(w.boxes.dir)
}

func (w *walker) end() {
	w.agent.toDovecot.end()
	w.agent.toOut.end()
	w.boxes.close()
	if err := w.disk.Close(); err != nil {
		w.t.Error(err)
	}
}

func (w *walker) violate(format string, args ...any) {
	if w.violated == "" {
		w.violated = fmt.Sprintf(format, args...)
	}
}

// do takes one step.
func (w *walker) do(s walkStep) {
	if w.silent && (s.op == "present" || s.op == "again") && w.mail[s.a%len(w.mail)].about() {
		return
	}
	switch s.op {
	case "silent":
		w.silent = true
	case "present":
		n := s.a % len(w.mail)
		if q := w.mail[n]; q.name == "bounce" {
			w.queue(q.bounceOf)
		}
		w.queue(n)
		w.present(n, s.b)
	case "again": // the other provider sends a notification once more
		if n := s.a % len(w.mail); strings.HasPrefix(w.mail[n].name, "notification") {
			delete(w.waiting, n)
			w.queue(n)
			w.present(n, 0)
		}
	case "dovecot":
		w.boxes.next(hand(s.a % int(hands)))
	case "out":
		w.boxes.nextOut(hand(s.a % int(hands)))
	case "blind":
		w.boxes.blindOnce()
	case "disk":
		w.life.fails = true
	case "kill":
		w.killIn = s.a%24 + 1
	case "hours":
		w.clock.pass(time.Duration(s.a%6+1) * time.Hour * time.Duration(1+3*(s.b%2)))
	case "retry":
		w.retry()
	case "reload":
		if err := w.agent.Reload(w.agent.live.Load().config, w.alfa.key, w.boxes); err != nil {
			w.violate("reload: %v", err)
		}
	}
	w.look()
}

func (w *walker) queue(n int) {
	if w.waiting[n] == nil {
		w.waiting[n] = slices.Repeat([]bool{true}, len(w.mail[n].recipients))
	}
}

// retry is what the agent does every few seconds.
func (w *walker) retry() {
	_ = w.agent.retryDue(context.Background()) // it is tried again
	w.tick()
}

// tick is what it does for the clocks; no process dies in it, because its goroutines would take the test with them.
func (w *walker) tick() {
	if w.ways.noClocks {
		return
	}
	armed := w.killIn
	w.killIn = 0
	_ = w.agent.watchDue(context.Background()) // what is due stays so
	w.killIn = armed
}

// present presents the waiting recipients whose bit is set, all when none is; in the other order when asked.
func (w *walker) present(n, chosen int) {
	q := w.mail[n]
	var places []int
	for i, waits := range w.waiting[n] {
		if waits && (chosen&15 == 0 || chosen&(1<<i) != 0) {
			places = append(places, i)
		}
	}
	if len(places) == 0 {
		return
	}
	if chosen&16 != 0 {
		slices.Reverse(places)
	}
	p := &presentation{sender: q.from, dsnOnly: q.record == nil, queueID: "4XyZ123456"}
	for _, i := range places {
		p.recipients = append(p.recipients, q.recipients[i])
	}
	in := rawmsg.NewWriter(w.boxes.dir)
	in.SkipDigest()
	if _, err := in.Write(q.text); err != nil {
		w.t.Fatal(err)
	}
	p.message = must(in.Finish())(w.t)
	defer p.message.Close()
	replies := w.agent.present(context.Background(), p)
	dead := w.life.dead
	w.look()
	if dead {
		w.reborn()
		return
	}
	for k, i := range places {
		switch code := replies[k].Code; {
		case code == 250:
			w.waiting[n][i] = false
			w.answered(n, q.recipients[i])
		case code >= 500 && q.name == "incoming" && w.isAnomaly(n):
			w.waiting[n][i] = false // Postfix tells the sender in the ordinary way
		case code >= 500:
			w.violate("a permanent answer to %s: %s", q.name, replies[k])
		}
	}
}

// boxes are the mailboxes and what stands before them.
type boxes struct {
	w      *walker
	dir    string
	socket string
	server *smtp.Server

	mu       sync.Mutex
	dovecot  hand
	out      hand
	blind    bool
	messages map[string][][]byte
	arrivals []arrival // since the last look
}

type arrival struct {
	place string // a mailbox, or "" outside
	text  []byte
}

var _ Mailboxes = (*boxes)(nil)

func newBoxes(w *walker, dir string) *boxes {
	b := &boxes{w: w, dir: dir, socket: filepath.Join(dir, "lmtp"), messages: map[string][][]byte{}}
	b.server = smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return &boxSession{boxes: b, conn: c.Conn()}, nil
	}))
	b.server.LMTP, b.server.Domain, b.server.ErrorLog = true, "boxes", discard{}
	l := must(net.Listen("unix", b.socket))(w.t)
	go func() { _ = b.server.Serve(l) }()
	return b
}

func (b *boxes) close() { _ = b.server.Close() }

func (b *boxes) next(h hand)    { b.mu.Lock(); b.dovecot = h; b.mu.Unlock() }
func (b *boxes) nextOut(h hand) { b.mu.Lock(); b.out = h; b.mu.Unlock() }
func (b *boxes) blindOnce()     { b.mu.Lock(); b.blind = true; b.mu.Unlock() }

// Lookup implements Mailboxes.
func (b *boxes) Lookup(_ context.Context, a pec.Address) (mailbox.Result, error) {
	known := func(list ...string) mailbox.Result {
		r := mailbox.Result{State: mailbox.Known}
		for _, one := range list {
			r.Boxes = append(r.Boxes, mailbox.Box{Address: addr(b.w.t, one), To: addr(b.w.t, one), State: mailbox.Known})
		}
		return r
	}
	switch a.Fold().String() {
	case mario, luigi, pieno, service:
		return known(a.Fold().String()), nil
	case info:
		r := known(mario, luigi)
		r.Alias = true
		return r, nil
	case spento:
		return mailbox.Result{State: mailbox.Disabled, Boxes: []mailbox.Box{{Address: a, To: a, State: mailbox.Disabled}}}, nil
	}
	return mailbox.Result{}, nil
}

// Holds implements Mailboxes.
func (b *boxes) Holds(_ context.Context, box pec.Address, messageID string, match mailbox.Match) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.blind {
		b.blind = false
		return false, errors.New("nobody answers")
	}
	if b.w.ways.noLook {
		return false, nil
	}
	for _, text := range b.messages[box.Fold().String()] {
		if !bytes.Contains(text, []byte(messageID)) {
			continue
		}
		if found, err := match(pec.Bytes(text)); found || err != nil {
			return found, err
		}
	}
	return false, nil
}

// relayed judges what goes out.
func (b *boxes) relayed(one sent) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	how := b.out
	b.out = handTakes
	keep := how == handTakes || how == handTakesAndDies
	if keep && !b.w.ways.seesNothing {
		b.arrivals = append(b.arrivals, arrival{"", one.text})
	}
	switch how {
	case handTakes:
		return true, nil
	case handTakesAndDies, handDies:
		return keep, errHangUp
	}
	return false, errDeferred
}

// boxSession is one connection of the agent.
type boxSession struct {
	boxes *boxes
	conn  net.Conn
	to    string
}

var _ smtp.LMTPSession = (*boxSession)(nil)

func (s *boxSession) Reset()                               {}
func (s *boxSession) Logout() error                        { return nil }
func (s *boxSession) Mail(string, *smtp.MailOptions) error { return nil }
func (s *boxSession) Data(io.Reader) error                 { return errDeferred }
func (s *boxSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = strings.ToLower(to)
	if s.to == nessuno {
		return errNobody
	}
	return nil
}

// LMTPData implements smtp.LMTPSession.
func (s *boxSession) LMTPData(r io.Reader, status smtp.StatusCollector) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	b := s.boxes
	b.mu.Lock()
	defer b.mu.Unlock()
	how := b.dovecot
	b.dovecot = handTakes
	if s.to == pieno && (how == handTakes || how == handTakesAndDies) {
		how = handRefuses
	}
	if how == handTakes || how == handTakesAndDies {
		b.messages[s.to] = append(b.messages[s.to], text)
		b.arrivals = append(b.arrivals, arrival{s.to, text})
	}
	switch how {
	case handTakes:
		status.SetStatus(s.to, nil)
	case handDefers:
		status.SetStatus(s.to, errDeferred)
	case handRefuses:
		status.SetStatus(s.to, errFull)
	default:
		_ = s.conn.Close() // that is the fault
		return errHangUp
	}
	return nil
}

func contentOf(t testing.TB, envelope []byte) [32]byte { return must(digestOfSigned(envelope))(t) }

func digestOfSigned(text []byte) ([32]byte, error) {
	read, err := readArrival(text)
	if err != nil {
		return sha256.Sum256(text), err
	}
	return read.digest, nil
}

func certDataOf(t testing.TB, envelope []byte) *pec.CertData {
	return must(readArrival(envelope))(t).data
}
