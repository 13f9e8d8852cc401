package lda

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ceralacca/ceralacca/internal/effect"
	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/internal/tracking"
	"github.com/ceralacca/ceralacca/internal/transaction"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/pec/compose"
	"github.com/ceralacca/ceralacca/policy"
	"github.com/ceralacca/ceralacca/signer"
)

// bounced is a delivery status notification about a transport envelope of ours.
type bounced struct {
	*work
	report *report
	about  *pec.CertData // of the envelope, from the store: a large one comes back without its content
	digest [32]byte      // of its signed part
}

// mayBeBounce says whether a presentation is to be judged as a bounce: bounces pass no milter.
func (a *Agent) mayBeBounce(p *presentation) bool {
	return p.sender == "" && !p.header.Has(transaction.FieldName)
}

// bounce turns a delivery status notification into what it means. It is one of ours only if its envelope id verifies:
// the socket alone, and a null sender, prove nothing. [C101]
func (a *Agent) bounce(ctx context.Context, p *presentation) error {
	if p.sender != "" {
		return fail("bounce", "", pec.ErrorUntrusted, errors.New("not from the null sender"))
	}
	r, err := parseReport(p.header, whole(pec.Section(p.message, p.body, p.message.Size()-p.body)))
	if err != nil {
		return fail("bounce", "", pec.ErrorUntrusted, err)
	}
	if r.envelopeID == "" {
		r.envelopeID = p.envelopeID // of MAIL, proven all the same
	}
	id, ours := a.o.HMAC.CheckEnvelopeID(r.envelopeID)
	if !ours {
		return fail("bounce", "", pec.ErrorUntrusted, errors.New("its envelope id is not one of ours"))
	}
	w := a.newWork(p, id, "")
	if r.returned.Has(pec.FieldReceipt) {
		return w.lost(ctx, r)
	}
	b, err := w.bounced(ctx, r)
	if err != nil {
		return err
	}
	end, err := a.turn(ctx, string(b.about.Identifier))
	if err != nil {
		return err
	}
	defer end()
	defer b.abandon()
	err = b.conclude(ctx)
	if unwritten := b.written(ctx); unwritten != nil {
		return unwritten
	}
	return err
}

// lost writes down that a notification of ours did not reach its addressee: who that is, what his server said, and by
// its Message-ID and reference which notification about which message. [C101]
func (w *work) lost(ctx context.Context, r *report) error {
	const what = "a notification of ours was not delivered"
	w.logBounce(ctx, r, what)
	for _, s := range r.statuses {
		err := w.append(ctx, ledger.Record{
			Event: ledger.EventDSNIgnored, Kind: pec.Kind(r.returned.Get(pec.FieldReceipt)),
			Related: []string{r.returned.Get("Message-ID")}, Reference: r.returned.Get(pec.FieldReference),
			Detail: s.action + " " + s.attempt.Enhanced + " " + s.final + ": " + what + ": " + s.attempt.Text,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *work) logBounce(ctx context.Context, r *report, what string) {
	for _, s := range r.statuses {
		w.log.WarnContext(ctx, "bounce: "+what, "action", s.action, "recipient", s.final, "status", s.attempt.Enhanced,
			"text", s.attempt.Text)
	}
}

// bounced finds the envelope that a report is about. One that is not in the store yet is temporary: its acceptance is
// still to be processed.
func (w *work) bounced(ctx context.Context, r *report) (*bounced, error) {
	var s tracking.Submission
	err := w.agent.o.Store.View(ctx, func(tx store.Tx) error {
		var found bool
		var err error
		if s, found, err = tracking.GetSubmission(tx, w.id); err == nil && !found {
			err = fail("bounce", "", pec.ErrorTemporary, fmt.Errorf("transaction %s is not known yet", w.id))
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	digest, err := w.digestSent(ctx, s.Identifier)
	if err != nil {
		return nil, err
	}
	w.log = w.log.With("identifier", string(s.Identifier))
	return &bounced{work: w, report: r, about: w.sent(s), digest: digest}, nil
}

// conclude does what the statuses ask for: a certified recipient gets a non-delivery notice of ours, the ordinary ones
// are told to the sender in one anomaly envelope. Delays and successes change nothing.
func (b *bounced) conclude(ctx context.Context) error {
	var ordinary []status
	for _, s := range b.report.statuses {
		r, known := b.recipient(s)
		switch {
		case s.action != "failed" || !known:
			if err := b.ignore(ctx, s, "it changes nothing"); err != nil {
				return err
			}
		case r.Type == pec.Certified:
			if err := b.notDelivered(ctx, r.Address, s); err != nil {
				return err
			}
		default:
			ordinary = append(ordinary, s)
		}
	}
	if len(ordinary) == 0 {
		return nil
	}
	return b.tell(ctx, ordinary)
}

// ignore writes down that a status changes nothing.
func (b *bounced) ignore(ctx context.Context, s status, why string) error {
	b.logBounce(ctx, &report{statuses: []status{s}}, why)
	r := b.event(b.about, b.about.Provider, ledger.EventDSNIgnored, b.agent.now())
	r.Detail = s.action + " " + s.attempt.Enhanced + " " + s.final + ": " + why
	if one, known := b.recipient(s); known {
		r.Covered = []pec.Address{one.Address}
	}
	return b.append(ctx, r)
}

// recipient finds whom a status is about. The original address counts: the final one may be what another system made
// of it.
func (b *bounced) recipient(s status) (pec.Recipient, bool) {
	for _, text := range []string{s.original, s.final} {
		a, err := pec.ParseAddress(text)
		if err != nil {
			continue
		}
		for _, r := range b.about.Recipients {
			if r.Address.Fold() == a.Fold() {
				return r, true
			}
		}
	}
	return pec.Recipient{}, false
}

// notDelivered issues the non-delivery notice for a certified recipient, unless there is an outcome: no provider takes
// back what was delivered. [C179] [C181]
func (b *bounced) notDelivered(ctx context.Context, recipient pec.Address, s status) error {
	failure := policy.NonDelivery(b.live.config.Provider.Name, s.attempt)
	at, err := b.instant(ctx, b.about.Time) // of our acceptance
	if err != nil {
		return err
	}
	o := outcome{Recipient: recipient.String(), At: at, Failure: &failure}
	key := effect.Key{
		Signer: b.live.config.Provider.Name, Identifier: string(b.about.Identifier), Digest: b.digest,
		Effect: effectOutcome, Recipient: recipient.Fold().String(),
	}
	p := plan{
		keys: []effect.Key{key}, at: o.At,
		data:    func([]effect.Key) []byte { return encode(o) },
		compose: b.compose,
		done:    b.done,
	}
	state, err := b.known(ctx, recipient)
	if err != nil {
		return err
	}
	if state.Final == nil {
		return b.issue(ctx, p)
	}
	if err := b.resume(ctx, p); err != nil {
		return err
	}
	return b.ignore(ctx, s, "the recipient has an outcome")
}

func (b *bounced) known(ctx context.Context, recipient pec.Address) (s tracking.State, err error) {
	err = b.agent.o.Store.View(ctx, func(tx store.Tx) error {
		s, err = tracking.Outcome(tx, b.about.Provider, b.about.Identifier, recipient)
		return err
	})
	return s, err
}

func (b *bounced) compose(p effect.Prepared) (compose.Notification, error) {
	var o outcome
	if err := decode(p.Data, &o); err != nil {
		return compose.Notification{}, err
	}
	recipient, err := pec.ParseAddress(o.Recipient)
	if err != nil {
		return compose.Notification{}, err
	}
	if o.Failure == nil {
		return compose.Notification{}, errors.New("a delivery receipt is being issued")
	}
	if o.Virus != "" { // who tells of a virus ends it himself, and writes another record
		return compose.Notification{}, errors.New("a virus notice is being issued")
	}
	return b.nonDelivery(b.about, recipient, o), nil
}

func (b *bounced) done(tx store.Tx, s issued) error {
	r := b.event(b.about, b.about.Provider, ledger.EventNonDelivery, s.Instant)
	r.Effect, r.Related, r.Detail = effectOutcome, []string{s.MessageID}, s.notice.Data.Detail
	r.Covered = []pec.Address{*s.notice.Data.Delivery}
	dsn := r
	dsn.Event, dsn.Related = ledger.EventDSN, nil
	for _, one := range []ledger.Record{dsn, r} {
		if err := ledger.Append(tx, one); err != nil {
			return err
		}
	}
	return b.fact(tx, b.about, b.about.Provider, tracking.Fact{
		Kind: tracking.NotDelivered, Recipient: *s.notice.Data.Delivery, Time: s.Instant, Provider: b.about.Provider,
		MessageID: s.MessageID,
	})
}

// tell puts the report into the sender's mailbox, in an anomaly envelope that says why.
func (b *bounced) tell(ctx context.Context, failed []status) error {
	at := b.agent.now()
	if date, err := pec.ParseDate(b.header.Get("Date")); err == nil {
		at = date // of the report, so that a second presentation makes the same envelope
	}
	sealed, err := b.wrapReport(ctx, at, failed)
	if err != nil {
		return fail("wrap a bounce", b.about.Identifier, pec.ErrorTemporary, err)
	}
	digest, err := digestOf(b.message)
	if err != nil {
		return fail("read a bounce", b.about.Identifier, pec.ErrorTemporary, err)
	}
	return b.pass(ctx, passing{
		key:   effect.Key{Identifier: b.id, Digest: digest, Effect: effectBounce},
		aside: true,
		parcel: parcel{
			to: b.about.Sender, about: b.about.Identifier, kind: pec.KindAnomaly,
			messageID: sealed.Header().Get("Message-ID"), digest: sealed.Digest(), write: wholeOf(sealed),
		},
		done: func(tx store.Tx, _ time.Time) error {
			r := b.event(b.about, b.about.Provider, ledger.EventDSN, at)
			r.Effect, r.Detail = effectBounce, failed[0].attempt.Text
			for _, s := range failed {
				one, _ := b.recipient(s) // they were found before
				r.Covered = append(r.Covered, one.Address)
			}
			return ledger.Append(tx, r)
		},
	})
}

func (b *bounced) wrapReport(ctx context.Context, at time.Time, failed []status) (*signer.Sealed, error) {
	reasons := make([]string, len(failed))
	for i, s := range failed {
		one, _ := b.recipient(s) // they were found before
		reasons[i] = one.Address.String() + ": " + policy.NonDelivery(b.about.Provider, s.attempt).Short
	}
	anomaly := compose.Anomaly{
		Recipients: []pec.Address{b.about.Sender}, Time: at, ID: b.id,
		Reason: pec.ProblemUndelivered.Italian() + " (" + strings.Join(reasons, "; ") + ")",
	}
	if from, err := pec.ParseAddressList(b.header.Get("From")); err == nil && len(from) > 0 {
		anomaly.Sender = from[0]
	}
	original := compose.Original{
		Header: b.header, Body: pec.Section(b.presentation.message, b.body, b.presentation.message.Size()-b.body),
	}
	artefact, err := compose.AnomalyEnvelope(b.live.provider(), original, anomaly)
	if err != nil {
		return nil, err
	}
	draft, err := signer.NewDraft(artefact)
	if err != nil {
		return nil, err
	}
	return draft.SealTo(ctx, nil, b.live.key, at)
}
