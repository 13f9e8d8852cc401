// Package stamp asks an authority for time stamps (RFC 3161) and judges them. It decides nothing about when to ask again.
package stamp

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"slices"
	"time"

	"github.com/digitorus/pkcs7"
	"github.com/digitorus/timestamp"
)

// ErrStamp says that what an authority gave is no stamp of ours, or not of an authority that is trusted.
var ErrStamp = errors.New("the time stamp does not hold")

// Authority is one that stamps.
type Authority struct {
	URL   string
	Roots []*x509.Certificate // the self-signed are trusted, the others build chains
	HTTP  *http.Client
}

// most is the longest answer that is read, in bytes.
const most = 1 << 20

// Stamp returns the answer of the authority (TimeStampResp, DER) over data, when it holds. Any error is temporary.
func (a Authority) Stamp(ctx context.Context, data []byte) ([]byte, error) {
	sum := sha256.Sum256(data)
	nonce, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 63))
	if err != nil {
		return nil, err
	}
	question, err := (&timestamp.Request{HashAlgorithm: crypto.SHA256, HashedMessage: sum[:], Certificates: true, Nonce: nonce}).Marshal()
	if err != nil {
		return nil, err
	}
	answer, err := a.ask(ctx, question)
	if err != nil {
		return nil, err
	}
	t, err := a.check(answer, data)
	if err != nil {
		return nil, err
	}
	if t.Nonce == nil || t.Nonce.Cmp(nonce) != 0 {
		return nil, fmt.Errorf("%w: it answers another question (nonce)", ErrStamp)
	}
	return answer, nil
}

func (a Authority) ask(ctx context.Context, question []byte) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, a.URL, bytes.NewReader(question))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/timestamp-query")
	answer, err := a.HTTP.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }() // it was only read
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the time stamping authority answers %s", answer.Status)
	}
	return io.ReadAll(io.LimitReader(answer.Body, most))
}

// Check judges a stored answer over data and returns when it was stamped. The nonce was held against the question when it
// came.
func (a Authority) Check(answer, data []byte) (time.Time, error) {
	t, err := a.check(answer, data)
	if err != nil {
		return time.Time{}, err
	}
	return t.Time, nil
}

// check leaves two things of a stamp alone, knowingly. The policy: none was asked for, and which one an authority stamps under
// is what its customer has agreed with it. The accuracy: what is proved is that the data was there by about that time, and
// no rule of ours hangs on a second.
func (a Authority) check(answer, data []byte) (t *timestamp.Timestamp, err error) {
	defer func() {
		if cause := recover(); cause != nil { // the library does so at some that are cut off
			t, err = nil, fmt.Errorf("%w: it is malformed (%v)", ErrStamp, cause)
		}
	}()
	if len(answer) > most { // what nests without end would end the process
		return nil, fmt.Errorf("%w: it has %d bytes", ErrStamp, len(answer))
	}
	content, err := token(answer)
	if err != nil {
		return nil, err
	}
	t, err = timestamp.Parse(content)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStamp, err)
	}
	sum := sha256.Sum256(data)
	if t.HashAlgorithm != crypto.SHA256 || !bytes.Equal(t.HashedMessage, sum[:]) {
		return nil, fmt.Errorf("%w: it is of other content", ErrStamp)
	}
	p7, err := pkcs7.Parse(t.RawToken)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStamp, err)
	}
	if p7.GetOnlySigner() == nil {
		return nil, fmt.Errorf("%w: not exactly one signer whose certificate is within", ErrStamp)
	}
	if err := p7.Verify(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStamp, err)
	}
	if err := names(p7, p7.GetOnlySigner()); err != nil {
		return nil, err
	}
	return t, a.chain(p7.GetOnlySigner(), p7.Certificates, t.Time)
}

const extKeyUsage = "2.5.29.37" // id-ce-extKeyUsage

// chain: the signer may stamp and nothing else, and leads to a configured authority as of the instant it states.
func (a Authority) chain(signer *x509.Certificate, extra []*x509.Certificate, at time.Time) error {
	if !slices.Equal(signer.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping}) || len(signer.UnknownExtKeyUsage) > 0 {
		return fmt.Errorf("%w: its certificate is not for time stamping alone", ErrStamp)
	}
	if !slices.ContainsFunc(signer.Extensions, func(e pkix.Extension) bool { return e.Id.String() == extKeyUsage && e.Critical }) {
		return fmt.Errorf("%w: its certificate may be used for more: the usage is not critical (RFC 3161, 2.3)", ErrStamp)
	}
	options := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: at,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping}}
	for _, c := range a.Roots {
		if bytes.Equal(c.RawIssuer, c.RawSubject) {
			options.Roots.AddCert(c)
		} else {
			options.Intermediates.AddCert(c)
		}
	}
	for _, c := range extra {
		options.Intermediates.AddCert(c)
	}
	if _, err := signer.Verify(options); err != nil {
		return fmt.Errorf("%w: %w", ErrStamp, err)
	}
	return nil
}
