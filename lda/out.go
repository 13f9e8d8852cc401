package lda

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/emersion/go-smtp"

	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/internal/metrics"
	"github.com/ceralacca/ceralacca/internal/secret"
)

// maxPEM bounds the files of the TLS credentials.
const maxPEM = 1 << 20

// loadOut reads what the agent shows to the outbound instance, and whom it believes there.
func loadOut(c config.Agent) (*tls.Config, error) {
	certificate, err := os.ReadFile(c.OutCert)
	if err != nil {
		return nil, fmt.Errorf("lda: out: %w", err)
	}
	key, err := secret.Read(c.OutKey, maxPEM)
	if err != nil {
		return nil, fmt.Errorf("lda: out: %w", err)
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("lda: out: %s: %w", c.OutCert, err)
	}
	authorities, err := os.ReadFile(c.OutCA)
	if err != nil {
		return nil, fmt.Errorf("lda: out: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authorities) {
		return nil, fmt.Errorf("lda: out: %s holds no certificate", c.OutCA)
	}
	host, _, err := net.SplitHostPort(c.Out)
	if err != nil {
		return nil, fmt.Errorf("lda: out: %w", err)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{pair}, RootCAs: pool, ServerName: host, MinVersion: tls.VersionTLS12,
	}, nil
}

// send hands a message to the outbound instance. Every error is temporary: what the network says comes back later, as
// a delivery status notification; a refusal here says that something is set wrong.
func (a *Agent) send(ctx context.Context, p parcel) error {
	ctx, cancel := context.WithTimeout(ctx, handOverTimeout)
	defer cancel()
	start := a.o.Clock.Now()
	live := a.live.Load()
	dial := func(ctx context.Context) (*line, error) { return dialOut(ctx, live) }
	err := a.toOut.through(ctx, live, dial, func(one *line) error { return relay(one, p) })
	a.o.Metrics.Observe(metrics.OutTime, a.o.Clock.Now().Sub(start))
	if err == nil {
		return nil
	}
	a.o.Metrics.Count(metrics.HandOvers, "out")
	if reply, ok := errors.AsType[*smtp.SMTPError](err); ok && reply.Code >= 500 || errors.Is(err, errNoDSN) {
		a.o.Metrics.Count(metrics.Alarms, "out")
		a.o.Log.ErrorContext(ctx, "the outbound instance is not set up for the agent", "alarm", true, "error", err)
	}
	return fmt.Errorf("out: %w", err)
}

func dialOut(ctx context.Context, live *settings) (*line, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", live.config.Agent.Out)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // ends the handshake; its error says so
	defer stop()
	c, err := smtp.NewClientStartTLS(&patient{conn}, live.out)
	if err != nil {
		_ = conn.Close() // the error is what matters
		return nil, err
	}
	c.CommandTimeout = commandTimeout
	return &line{client: c}, nil
}

// errNoDSN says that the outbound instance would forget our ENVID, by which alone its bounces are known.
var errNoDSN = errors.New("the outbound instance does not offer DSN: remove it from smtpd_discard_ehlo_keywords")

func relay(one *line, p parcel) error {
	c := one.client
	if ok, _ := c.Extension("DSN"); !ok {
		if err := c.Noop(); err != nil { // it said nothing at all
			return err
		}
		return errNoDSN
	}
	options := &smtp.MailOptions{EnvelopeID: p.envelopeID, Return: smtp.DSNReturnHeaders}
	if err := one.mail(p.from, options); err != nil {
		return err
	}
	failures := &smtp.RcptOptions{Notify: []smtp.DSNNotify{smtp.DSNNotifyFailure}}
	if err := c.Rcpt(p.to.String(), failures); err != nil {
		return err
	}
	data, err := c.Data()
	if err != nil {
		return err
	}
	if err := p.write(data); err != nil {
		return err
	}
	_, err = data.CloseWithResponse()
	return err
}
