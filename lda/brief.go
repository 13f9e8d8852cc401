package lda

import (
	"errors"

	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/pec/brief"
	"github.com/ceralacca/ceralacca/pec/compose"
)

// shortened is what was made of the original of a job, for all its brief receipts that are made alike.
type shortened struct {
	settings brief.Settings
	original *brief.Original
	err      error // brief.ErrUncertain
}

// brief is how the hashes of brief receipts are made from now on. [C173]
func (s *settings) brief() *brief.Settings {
	r := s.config.Receipts
	return &brief.Settings{Over: r.BriefHash, Algorithm: r.BriefAlgorithm}
}

// shorten makes a receipt with the whole original a brief one. Where the original cannot be cut with certainty it stays
// the complete one, which has everything that the brief one would, says so, and is logged; so does a receipt that was
// prepared before there were brief ones. Errors are those of reading the message. [C170] [C171]
func (j *job) shorten(n *compose.Notification, s *brief.Settings) error {
	if s == nil {
		n.Data.Receipt = pec.ReceiptComplete
		return nil
	}
	if j.cut == nil || j.cut.settings != *s {
		original, err := brief.Cut(j.parts.Original, *s)
		if err != nil && !errors.Is(err, brief.ErrUncertain) {
			return err
		}
		if err != nil {
			j.log.Warn("a brief receipt was asked for, and the complete one is sent", "error", err)
		}
		j.cut = &shortened{*s, original, err}
	}
	if j.cut.err != nil {
		n.Data.Receipt = pec.ReceiptComplete
		return nil
	}
	n.Original = j.cut.original.Pieces
	return nil
}

// whyComplete is what the legal log says of a complete receipt where a brief one was asked for.
func (j *job) whyComplete(n compose.Notification) string {
	if j.cut == nil || j.cut.err == nil || n.Concise {
		return ""
	}
	return "complete, and not brief as asked: " + j.cut.err.Error()
}
