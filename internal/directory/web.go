package directory

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/ceralacca/ceralacca/internal/fsx"
	"github.com/ceralacca/ceralacca/internal/secret"
)

// fetchTimeout bounds one attempt, connection and body together.
const fetchTimeout = 2 * time.Minute

// webSource is a file on an HTTPS server that asks for our certificate. It is not safe for concurrent use. [C223]
type webSource struct {
	url        string
	client     *http.Client
	last, used validators
}

var _ source = (*webSource)(nil)

// validators let the server say that nothing has changed.
type validators struct{ tag, modified string }

func newWebSource(o *Options) (*webSource, error) {
	config := &tls.Config{
		MinVersion: tls.VersionTLS12,
		// Read at each handshake: the certificate is renewed while we run.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return clientCertificate(o.ClientCert, o.ClientKey)
		},
	}
	if o.URLCA != "" {
		pool, err := readPool(o.URLCA)
		if err != nil {
			return nil, err
		}
		config.RootCAs = pool
	}
	if _, err := clientCertificate(o.ClientCert, o.ClientKey); err != nil {
		return nil, err
	}
	return &webSource{url: o.URL, client: &http.Client{
		Timeout: fetchTimeout,
		Transport: &http.Transport{
			TLSClientConfig: config, Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, DisableKeepAlives: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return errors.New("the server sends us elsewhere")
		},
	}}, nil
}

func clientCertificate(certFile, keyFile string) (*tls.Certificate, error) {
	if err := secret.Check(keyFile); err != nil {
		return nil, fmt.Errorf("directory: client key: %w", err)
	}
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("directory: client certificate: %w", err)
	}
	return &pair, nil
}

func (s *webSource) fetch(ctx context.Context) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return nil, err
	}
	if s.used.tag != "" {
		request.Header.Set("If-None-Match", s.used.tag)
	}
	if s.used.modified != "" {
		request.Header.Set("If-Modified-Since", s.used.modified)
	}
	response, err := s.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close() // it was only read
	switch response.StatusCode {
	case http.StatusNotModified:
		if s.used == (validators{}) {
			return nil, errors.New("the server says that nothing has changed, but was not asked")
		}
		s.last = s.used
		return nil, nil
	case http.StatusOK:
		s.last = validators{response.Header.Get("ETag"), response.Header.Get("Last-Modified")}
		return fsx.ReadLimited(response.Body, maxFile)
	default:
		return nil, fmt.Errorf("%s: the server answers %s", response.Request.URL, response.Status)
	}
}

func (s *webSource) accepted() { s.used = s.last }

func (*webSource) fresh(now time.Time) time.Time { return now }
