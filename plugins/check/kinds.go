package check

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/ceralacca/ceralacca/plugins"
)

// eicar is the test file that every antivirus finds, in two parts so that this source is no finding itself.
const eicar = `X5O!P%@AP[4\PZX54(P^)7CC)7}$` + `EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*`

// finds: an antivirus finds what every antivirus finds.
func (k *kit) finds(ctx context.Context) error {
	r, err := k.one.Scan(ctx, text(eicar))
	if err != nil {
		return err
	}
	if r.Verdict != plugins.Infected {
		return fmt.Errorf("the EICAR test file is %s to it: every antivirus finds it", r.Verdict)
	}
	return noted(fmt.Sprintf("EICAR is %s to %s", r.Virus, r.Engine))
}

// keeps: what was deposited is there, as it was; what was not, is not.
func (k *kit) keeps(ctx context.Context) error {
	state, e, err := k.one.Status(ctx, "call")
	if err != nil {
		return err
	}
	if state != plugins.Pending && state != plugins.Kept {
		return fmt.Errorf("the Status of a deposit that was done is %d, neither pending nor kept", state)
	}
	var back bytes.Buffer
	if _, found, err := k.one.Exhibit(ctx, "call", &back); err != nil || !found || back.String() != mail {
		return fault(err, "Exhibit gives back %d bytes of %d, found: %t", back.Len(), len(mail), found)
	}
	if u, err := k.one.Usage(ctx, mailbox); err != nil || u.Items < 1 || u.Bytes < int64(len(mail)) {
		return fault(err, "Usage after a deposit: %d items, %d bytes", u.Items, u.Bytes)
	}
	if state, _, err := k.one.Status(ctx, "never"); err != nil || state != plugins.Unknown {
		return fault(err, "Status of what was never deposited: %d, not unknown", state)
	}
	if _, found, err := k.one.Exhibit(ctx, "never", &back); err != nil || found {
		return fault(err, "Exhibit of what was never deposited, found: %t", found)
	}
	wrong := plugins.Bundle{Key: "wrong", Mailbox: mailbox, Size: int64(len(mail)), SHA256: make([]byte, sha256.Size), MediaType: "message/rfc822", Time: 1e9}
	if e, err := k.one.Deposit(ctx, wrong, text(mail)); err == nil && e.Outcome == plugins.Done {
		return errors.New("it keeps content that does not have the digest of its header")
	}
	return noted("kept as " + e.Reference + ", and given back as it was")
}

// sign signs with the first key.
func (k *kit) sign(ctx context.Context, key string) ([]byte, error) {
	entries, err := k.one.Certificates(ctx)
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256([]byte(key))
	return k.one.Sign(ctx, entries[0].ID, digest[:])
}

// signs: each key signs, its certificate says so, and a key that there is not signs nothing.
func (k *kit) signs(ctx context.Context) error {
	entries, err := k.one.Certificates(ctx)
	if err != nil {
		return err
	}
	signed := []byte("what is signed")
	digest := sha256.Sum256(signed)
	for _, entry := range entries {
		cert, err := x509.ParseCertificate(entry.Chain[0])
		if err != nil {
			return fmt.Errorf("the certificate of key %q: %w", entry.ID, err)
		}
		signature, err := k.one.Sign(ctx, entry.ID, digest[:])
		if err != nil {
			return fmt.Errorf("key %q: %w", entry.ID, err)
		}
		if err := cert.CheckSignature(x509.SHA256WithRSA, signed, signature); err != nil {
			return fmt.Errorf("the signature of key %q does not fit its certificate: %w", entry.ID, err)
		}
	}
	if _, err := k.one.Sign(ctx, "no such key", digest[:]); err == nil {
		return errors.New("it signs with a key that it does not have")
	}
	return noted(fmt.Sprintf("%d keys, whose signatures fit their certificates", len(entries)))
}

// idempotency: the same again has the same answer, and happens once.
func (k *kit) idempotency(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, enough)
	defer cancel()
	first, err := k.again(ctx)
	if err != nil {
		return err
	}
	second, err := k.again(ctx)
	if err != nil {
		return fmt.Errorf("the second time: %w", err)
	}
	if first != second {
		return fmt.Errorf("the same call again is answered by %.40q instead of %.40q", second, first)
	}
	return nil
}

// again makes the same call each time, and returns what must be the same.
func (k *kit) again(ctx context.Context) (string, error) {
	switch k.d.Kind {
	case plugins.KindAntivirus:
		r, err := k.one.Scan(ctx, text(eicar))
		return r.Virus, err
	case plugins.KindConservation:
		c := text(mail)
		b, err := bundle("again", c)
		if err != nil {
			return "", err
		}
		e, err := k.one.Deposit(ctx, b, c)
		if err := done(e, err); err != nil {
			return "", err
		}
		u, err := k.one.Usage(ctx, mailbox)
		return fmt.Sprintf("%s, %d items", e.Reference, u.Items), err
	case plugins.KindNotification:
		e, err := k.one.Notify(ctx, event("again", nil))
		return e.Reference, done(e, err)
	default:
		signature, err := k.sign(ctx, "again")
		return fmt.Sprintf("%x", signature), err
	}
}

// bigHeaders: the largest header section that a host sends passes.
func (k *kit) bigHeaders(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, enough)
	defer cancel()
	const line = "X-Long: check\r\n"
	e, err := k.one.Notify(ctx, event("big", bytes.Repeat([]byte(line), plugins.MaxHeaders/len(line))))
	if err := done(e, err); err != nil {
		return err
	}
	return noted(fmt.Sprintf("headers of %d KiB", plugins.MaxHeaders>>10))
}
