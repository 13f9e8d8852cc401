package app

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/internal/fsx"
	"github.com/ceralacca/ceralacca/signer"
)

// ErrRotate says that the certificates were not exchanged, and that nothing was changed.
var ErrRotate = errors.New("the certificates are not exchanged")

// RotateOptions say how certificates are exchanged.
type RotateOptions struct {
	// Undo goes back to the certificate before.
	Undo bool
	// Early does not wait until the certificate is in the directory for a day.
	Early bool
}

// RotateCertificate exchanges the certificate that signs, with its key, for the next one, which then lies where the other lay: so
// the same again takes it back. It refuses a certificate that cannot sign yet. Daemons that start or reload at any moment, and
// after a crash at any, find a certificate and its key. They are not told. Keys in a plug-in stay where they are: the files of
// certificates say which of them signs. [C210] [C225]
func RotateCertificate(ctx context.Context, c *config.Config, d Deps, o RotateOptions) (*CertificateReport, error) {
	switch {
	case c.Key.NextCert == "" && c.Key.Plugin != "":
		return nil, fmt.Errorf("%w: there is no next one: write [key] next_cert", ErrRotate)
	case c.Key.NextCert == "":
		return nil, fmt.Errorf("%w: there is no next one: write [key] next_cert and next_key", ErrRotate)
	case c.Key.Cert == "":
		return nil, fmt.Errorf("%w: nothing says which certificate signs: write [key] cert, and reload both daemons", ErrRotate)
	}
	r, err := CheckCertificate(ctx, c, d)
	if err != nil {
		return nil, err
	}
	if err := r.mayRotate(d.Clock.Now(), o); err != nil {
		return r, err
	}
	if r.device {
		return r, exchangeCertificates(ctx, c, d, r.Next.cert)
	}
	return r, exchange(&c.Key, r.Current.key.Certificates(), r.Next.key.Certificates())
}

func (r *CertificateReport) mayRotate(now time.Time, o RotateOptions) error {
	cur, next := r.Current, r.Next
	switch {
	case len(next.Problems) > 0:
		return fmt.Errorf("%w: %s: %s", ErrRotate, next.File, strings.Join(next.Problems, "; "))
	case next.Unasked != "":
		return fmt.Errorf("%w: nobody could ask the plug-in for the key of %s: %s; run it as root", ErrRotate, next.File, next.Unasked)
	case cur.cert == nil, cur.key == nil && !r.device: // the device may have lost the key of the one that signs
		return fmt.Errorf("%w: %s: %s", ErrRotate, cur.File, strings.Join(cur.Problems, "; "))
	case cur.cert.Equal(next.cert):
		return fmt.Errorf("%w: next_cert is the one that signs", ErrRotate)
	case !o.Undo && next.NotAfter.Before(cur.NotAfter):
		return fmt.Errorf("%w: next_cert ends before the one that signs, it is the one before: --undo goes back to it", ErrRotate)
	case o.Undo && next.NotAfter.After(cur.NotAfter):
		return fmt.Errorf("%w: there is nothing to undo: next_cert ends after the one that signs", ErrRotate)
	case !o.Undo && !o.Early && next.early(now):
		return fmt.Errorf("%w: %s is in the directory for less than a day, as far as the versions of the agent say%s, and other providers fetch it once a day: "+
			"%s, or use --early, and some of them may take what it signs for ordinary mail", ErrRotate, next.File, next.unread(), next.wait())
	}
	return nil
}

// exchange: the files of certificates have both while the keys change places, which is one step, and LoadKey takes from them the
// one that belongs to the key.
func exchange(k *config.Key, current, next []*x509.Certificate) error {
	files := func(first, second []*x509.Certificate) error {
		return errors.Join(fsx.Rewrite(k.Cert, signer.EncodeCertificates(first)), fsx.Rewrite(k.NextCert, signer.EncodeCertificates(second)))
	}
	if err := files(slices.Concat(next, current), slices.Concat(current, next)); err != nil {
		return err
	}
	if err := fsx.Exchange(k.Key, k.NextKey); err != nil {
		return errors.Join(err, files(current, next))
	}
	return files(next, current)
}

// exchangeCertificates: two files change places, which is one step. A plug-in whose own configuration names these files may not
// find its keys afterwards, and the daemons would not start any more: it is asked once more, and else they change back.
func exchangeCertificates(ctx context.Context, c *config.Config, d Deps, next *x509.Certificate) error {
	if err := fsx.Exchange(c.Key.Cert, c.Key.NextCert); err != nil {
		return err
	}
	_, err := askDevice(ctx, c, d).find(next)
	if err == nil {
		return nil
	}
	return errors.Join(fmt.Errorf("%w, but were for a moment: then %w. Name neither file in [plugins.%s.config], or both where it takes the one that fits",
		ErrRotate, err, c.Key.Plugin), fsx.Exchange(c.Key.Cert, c.Key.NextCert))
}
