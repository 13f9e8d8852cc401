package examine

import (
	"errors"
	"fmt"

	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/pec/brief"
	"github.com/ceralacca/ceralacca/signer"
)

// checkOriginal compares the hashes in a brief receipt with the files of the original that was given. An error is a
// failure to read, not a finding. [C172] [C173]
func (e *Examiner) checkOriginal(r *Report, parts *pec.Parts, data *pec.CertData) error {
	if e.original == "" || data.Kind != pec.KindDelivery || data.Receipt != pec.ReceiptBrief || parts.Original == nil {
		return nil
	}
	src, closeFile, _, err := load(e.original)
	if err != nil {
		return fmt.Errorf("the original %s: %w", e.original, err)
	}
	defer closeFile()
	hashes, err := brief.Read(parts.Original)
	if errors.Is(err, brief.ErrUncertain) {
		r.set(CheckOriginal, fmt.Errorf("the receipt: %w", err), "")
		return nil
	}
	if err != nil {
		return err
	}
	if len(hashes) == 0 {
		r.detail(CheckOriginal, "the receipt has no hash file: there is nothing to compare")
		return nil
	}
	detail, err := sameHashes(hashes, within(src))
	if err != nil && !errors.Is(err, brief.ErrUncertain) && !errors.Is(err, errHashes) {
		return err
	}
	r.set(CheckOriginal, err, detail)
	return nil
}

// within is the original in an envelope or a complete receipt, or the message itself when it is neither.
func within(src pec.Source) pec.Source {
	m, err := signer.Open(src)
	if err != nil || claimedKind(m.Header) == pec.KindNone {
		return src
	}
	parts, err := pec.ReadParts(m.Content)
	if err != nil || parts.CertData == nil || parts.Original == nil {
		return src
	}
	return parts.Original
}

var errHashes = errors.New("the hashes differ")

// sameHashes says over what all hashes are those of the files of a message. Providers differ in that.
func sameHashes(hashes []brief.File, message pec.Source) (detail string, err error) {
	for _, over := range []string{brief.OverDecoded, brief.OverEncoded} {
		s := brief.Settings{Over: over, Algorithm: hashes[0].Algorithm()}
		var own *brief.Original
		if own, err = brief.Cut(message, s); err == nil {
			err = differ(hashes, own.Files)
		}
		if err == nil {
			return fmt.Sprintf("all %d files of the original have the hashes in the receipt, %s over the %s content", len(hashes), s.Algorithm, over), nil
		}
		if !errors.Is(err, brief.ErrUncertain) && !errors.Is(err, errHashes) {
			return "", err
		}
	}
	return "", err
}

// differ names the first file whose hash differs.
func differ(hashes, own []brief.File) error {
	if len(hashes) != len(own) {
		return fmt.Errorf("%w: the receipt has %d, the original %d files", errHashes, len(hashes), len(own))
	}
	for i, h := range hashes {
		if h.Sum != own[i].Sum {
			return fmt.Errorf("%w: %q holds %s, that of the original is neither over its decoded nor over its encoded content", errHashes, h.Name, h.Sum)
		}
	}
	return nil
}
