package revocation

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/ceralacca/ceralacca/internal/fsx"
)

const (
	// fetchTimeout bounds one attempt, connection and body together.
	fetchTimeout = time.Minute
	// maxList bounds a list, in bytes, as package signer does: more than a million entries.
	maxList = 64 << 20
	// maxRedirects is how often a server may send us elsewhere.
	maxRedirects = 5
)

func newClient(roots *x509.CertPool) *http.Client {
	return &http.Client{
		Timeout: fetchTimeout,
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}, Proxy: http.ProxyFromEnvironment,
			ForceAttemptHTTP2: true, DisableKeepAlives: true, DisableCompression: true,
		},
		CheckRedirect: func(r *http.Request, before []*http.Request) error {
			if len(before) > maxRedirects || !Followed(r.URL.String()) {
				return errors.New("the server sends us around")
			}
			return nil
		},
	}
}

// page is what a server has; content is nil when it has not changed.
type page struct {
	content           []byte
	etag, lastChanged string
}

// get gets what is at url, unless it is what the validators name, which may be empty.
func get(ctx context.Context, client *http.Client, url, etag, lastChanged string) (page, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return page{}, err
	}
	if etag != "" {
		request.Header.Set("If-None-Match", etag)
	}
	if lastChanged != "" {
		request.Header.Set("If-Modified-Since", lastChanged)
	}
	response, err := client.Do(request)
	if err != nil {
		return page{}, err
	}
	defer response.Body.Close() // it was only read
	switch {
	case response.StatusCode == http.StatusNotModified && (etag != "" || lastChanged != ""):
		return page{}, nil
	case response.StatusCode != http.StatusOK:
		return page{}, fmt.Errorf("%s: the server answers %s", response.Request.URL, response.Status)
	}
	content, err := fsx.ReadLimited(response.Body, maxList)
	return page{content, response.Header.Get("ETag"), response.Header.Get("Last-Modified")}, err
}
