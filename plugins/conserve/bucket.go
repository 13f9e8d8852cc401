package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ceralacca/ceralacca/internal/secret"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/pack"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/s3"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/store"
	"github.com/ceralacca/ceralacca/signer"
)

// bucket is [plugins.conserve.config.store_s3].
type bucket struct {
	Endpoint      string `json:"endpoint"`
	Insecure      bool   `json:"insecure"`
	Region        string `json:"region"`
	Bucket        string `json:"bucket"`
	Prefix        string `json:"prefix"`
	AccessKeyFile string `json:"access_key_file"`
	SecretKeyFile string `json:"secret_key_file"`
	Authorities   string `json:"authorities"`
	Timeout       string `json:"timeout"`
	PathStyle     *bool  `json:"path_style"`
}

// checkStore fills in what is not written of the store, and looks at what needs no file.
func (s *settings) checkStore() error {
	if (s.StoreDirectory == "") == (s.StoreS3 == nil) {
		return errors.New("write where packages are kept: either store_directory or [store_s3], not both")
	}
	if s.StoreS3 == nil {
		return nil
	}
	return s.StoreS3.check()
}

func (b *bucket) check() error {
	for text, preset := range map[*string]string{&b.Region: "us-east-1", &b.Timeout: "60s"} {
		if *text == "" {
			*text = preset
		}
	}
	if d, err := time.ParseDuration(b.Timeout); err != nil || d <= 0 {
		return fmt.Errorf("store_s3.timeout is %q, not a duration; write 60s or 2m", b.Timeout)
	}
	open := strings.HasPrefix(b.Endpoint, "http://")
	switch {
	case open && !b.Insecure:
		return fmt.Errorf("store_s3.endpoint is %s: what is kept would cross the network open; write https://, or insecure = true where nobody listens", b.Endpoint)
	case b.Insecure && !open:
		return errors.New("store_s3.insecure is for an endpoint with http://; take it away")
	case open && b.Authorities != "":
		return errors.New("store_s3.authorities is for an endpoint with https://; take it away")
	case !open && !strings.HasPrefix(b.Endpoint, "https://"):
		return fmt.Errorf("store_s3.endpoint is %q; write https://HOST or https://HOST:PORT", b.Endpoint)
	}
	return nil
}

// open reads the files and makes the store, which is not asked yet.
func (b *bucket) open() (*s3.Store, error) {
	o := s3.Options{Endpoint: b.Endpoint, Region: b.Region, Bucket: b.Bucket, Prefix: strings.Trim(b.Prefix, "/"), Timeout: duration(b.Timeout),
		VirtualHost: b.PathStyle != nil && !*b.PathStyle, Complete: pack.Sums}
	var err error
	if o.AccessKey, err = readKey("access_key_file", b.AccessKeyFile); err != nil {
		return nil, err
	}
	if o.SecretKey, err = readKey("secret_key_file", b.SecretKeyFile); err != nil {
		return nil, err
	}
	if b.Authorities != "" {
		known, err := signer.ReadCertificates(b.Authorities)
		if err != nil {
			return nil, fmt.Errorf("store_s3.authorities: %w", err)
		}
		o.Authorities = x509.NewCertPool()
		for _, c := range known {
			o.Authorities.AddCert(c)
		}
	}
	kept, err := s3.New(o)
	if errors.Is(err, s3.ErrEndpoint) {
		return nil, fmt.Errorf("store_s3.endpoint is %q: %w", b.Endpoint, err)
	}
	if err != nil {
		return nil, fmt.Errorf("store_s3: %w", err)
	}
	return kept, nil
}

// mostKey is the longest key, in bytes.
const mostKey = 1024

func readKey(name, path string) (string, error) {
	text, err := secret.Read(path, mostKey)
	if err != nil {
		return "", fmt.Errorf("store_s3.%s: %w", name, err)
	}
	key := strings.TrimSpace(string(text))
	if key == "" || strings.ContainsAny(key, " \t\r\n") {
		return "", fmt.Errorf("store_s3.%s: %s has to have the key alone, on one line", name, path)
	}
	return key, nil
}

// store is where packages are kept.
func (s settings) store() (store.Store, error) {
	if s.StoreS3 != nil {
		return s.StoreS3.open()
	}
	return store.Directory(s.StoreDirectory), nil
}
