package lda

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ceralacca/ceralacca/internal/transaction"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/signer"
)

// job is a presentation whose record is genuine, on its way through the steps of its verdict.
type job struct {
	*work
	record *transaction.Record

	certified []pec.Address // by recipient: for whom it stands; zero for the internal address
	answers   []error       // by recipient: what Postfix hears; nil is 250

	above   pec.Header // what Postfix put above our fields
	message pec.Source // what stands below them, as the milter sealed it
	header  pec.Header // of message
	body    pec.Source // of message

	signed   *pec.SignedMessage
	data     *pec.CertData
	parts    *pec.Parts
	provider *pec.ProviderRecord // who signed; ours on a submission

	wrapped *signer.Sealed // the anomaly envelope that we made of it, if we did
	problem pec.Problem    // why we made it

	cut *shortened // the original of brief receipts, once there is one

	todo     []step
	expanded map[pec.Address]*expansion // what each certified recipient comes to, folded
	boxes    map[pec.Address]delivery   // what became of each mailbox, folded
}

// step does one thing for a whole job. Its error is the answer to every recipient that has none yet.
type step struct {
	name string
	do   func(context.Context, *job) error
}

// errUnanswered is where every recipient starts: temporary.
var errUnanswered = errors.New("not reached")

func (a *Agent) newJob(p *presentation, r *transaction.Record) *job {
	j := &job{work: a.newWork(p, r.ID, r.Identifier), record: r, boxes: make(map[pec.Address]delivery),
		expanded: make(map[pec.Address]*expansion)}
	j.answers = make([]error, len(p.recipients))
	for i := range j.answers {
		j.answers[i] = errUnanswered
	}
	return j
}

// run walks through the steps, and makes durable what they did before Postfix is answered.
func (j *job) run(ctx context.Context) {
	defer j.abandon()
	j.walk(ctx)
	if err := j.written(ctx); err != nil {
		for i := range j.answers {
			j.answers[i] = fmt.Errorf("done: %w", err)
		}
	}
}

// walk takes the steps in turn. A step may replace those to come.
func (j *job) walk(ctx context.Context) {
	for len(j.todo) > 0 {
		next := j.todo[0]
		j.todo = j.todo[1:]
		if err := next.do(ctx, j); err != nil {
			j.answerRest(fmt.Errorf("%s: %w", next.name, err))
			return
		}
	}
}

// answerRest answers whoever has no answer yet.
func (j *job) answerRest(err error) {
	for i, answer := range j.answers {
		if answer == errUnanswered {
			j.answers[i] = err
		}
	}
}

// now is the present instant with the precision of the certification data. [C186]
func (a *Agent) now() time.Time { return a.o.Clock.Now().Truncate(time.Second) }
