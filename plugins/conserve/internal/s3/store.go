// Package s3 keeps packages in a bucket of an S3-compatible store: a package is the objects PREFIX/NAME/FILE, and is there
// when its completing file is. It puts each object once, never overwrites and never deletes one, and does not make buckets.
package s3

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/ceralacca/ceralacca/plugins/conserve/internal/store"
)

// Options say where packages are kept, and by which key.
type Options struct {
	Endpoint    string // https://HOST[:PORT], or http://, over which all but the secret is open
	Region      string
	Bucket      string
	Prefix      string // of all objects, without / at its ends; may be empty
	AccessKey   string
	SecretKey   string
	Authorities *x509.CertPool // of the store's certificate; nil is the system's
	Timeout     time.Duration  // for an answer
	VirtualHost bool           // BUCKET.HOST in place of HOST/BUCKET
	Complete    string         // the file that completes a package
}

// Store is a bucket. It is safe for concurrent use.
type Store struct {
	o      Options
	client minio.Core
}

var (
	_ store.Store   = (*Store)(nil)
	_ store.Reacher = (*Store)(nil)
	_ store.Package = (*stored)(nil)
)

// ErrEndpoint says that the address of the store is none.
var ErrEndpoint = errors.New("write https://HOST or https://HOST:PORT, without a path")

// retries of one request. Whoever calls tries the whole again, later.
const retries = 3

// New makes a store, and asks it nothing.
func New(o Options) (*Store, error) {
	at, err := url.Parse(o.Endpoint)
	if err != nil || at.Host == "" || strings.Trim(at.Path, "/") != "" || at.RawQuery != "" || at.User != nil {
		return nil, ErrEndpoint
	}
	lookup := minio.BucketLookupPath
	if o.VirtualHost {
		lookup = minio.BucketLookupDNS
	}
	client, err := minio.New(at.Host, &minio.Options{
		Creds:  credentials.NewStaticV4(o.AccessKey, o.SecretKey, ""),
		Secure: at.Scheme != "http", Region: o.Region, BucketLookup: lookup, MaxRetries: retries, Transport: transport(o),
	})
	if err != nil {
		return nil, err
	}
	return &Store{o: o, client: minio.Core{Client: client}}, nil
}

// transport is one without a proxy, as the environment of a plug-in is empty.
func transport(o Options) *http.Transport {
	return &http.Transport{
		DialContext:           (&net.Dialer{Timeout: o.Timeout}).DialContext,
		TLSHandshakeTimeout:   o.Timeout,
		ResponseHeaderTimeout: o.Timeout,
		MaxIdleConnsPerHost:   uploads,
		IdleConnTimeout:       time.Minute,
		DisableCompression:    true, // the bytes that are kept
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.Authorities},
	}
}

// slowest is the line that is borne with, in bytes per second.
const slowest = 64 << 10

// limit is how long size bytes may take.
func (s *Store) limit(ctx context.Context, size int64) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, s.o.Timeout*retries+time.Duration(size/slowest)*time.Second)
}

// key is the name of an object.
func (s *Store) key(name string) string { return path.Join(s.o.Prefix, name) }

// Reach implements store.Reacher: it lists one name.
func (s *Store) Reach(ctx context.Context) error {
	ctx, stop := s.limit(ctx, 0)
	defer stop()
	for o := range s.client.ListObjectsIter(ctx, s.o.Bucket, minio.ListObjectsOptions{Prefix: s.o.Prefix, MaxKeys: 1}) {
		return s.say(o.Err)
	}
	return s.say(ctx.Err()) // a listing that is interrupted ends without an error
}

// list returns the objects whose names begin with a name, with their sizes; what is returned is without its folder.
func (s *Store) list(ctx context.Context, folder, begin string) (map[string]int64, error) {
	const answers = 100 // of 1,000 names
	ctx, stop := s.limit(ctx, answers*slowest)
	defer stop()
	there := map[string]int64{}
	before := s.key(folder) + "/"
	for o := range s.client.ListObjectsIter(ctx, s.o.Bucket, minio.ListObjectsOptions{Prefix: before + begin, Recursive: true, FetchOwner: new(bool)}) {
		if o.Err != nil {
			return nil, s.say(o.Err)
		}
		there[strings.TrimPrefix(o.Key, before)] = o.Size
	}
	return there, s.say(ctx.Err())
}

// Package implements store.Store.
func (s *Store) Package(ctx context.Context, name string) (store.Package, bool, error) {
	// A listing, since the answer to HEAD has no text that would tell a missing bucket from a missing object.
	there, err := s.list(ctx, name, s.o.Complete)
	if err != nil {
		return nil, false, err
	}
	if _, found := there[s.o.Complete]; !found {
		return nil, false, nil
	}
	return &stored{s: s, name: name}, true, nil
}

// stored is a package in the bucket.
type stored struct {
	s    *Store
	name string
}

// Files implements store.Package.
func (p *stored) Files(ctx context.Context) ([]string, error) {
	there, err := p.s.list(ctx, p.name, "")
	return slices.Sorted(maps.Keys(there)), err
}

// Open implements store.Package. The error is fs.ErrNotExist when there is no such file.
func (p *stored) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	return p.s.open(ctx, path.Join(p.name, name))
}

func (s *Store) open(ctx context.Context, name string) (io.ReadCloser, error) {
	inner, stop := context.WithCancel(ctx)
	body, info, _, err := s.client.GetObject(inner, s.o.Bucket, s.key(name), minio.GetObjectOptions{})
	if err != nil {
		stop()
		if minio.ToErrorResponse(err).Code == minio.NoSuchKey {
			return nil, fmt.Errorf("%s is not in the store: %w", s.key(name), fs.ErrNotExist)
		}
		return nil, s.say(err)
	}
	until, end := s.limit(inner, info.Size)
	context.AfterFunc(until, stop)
	return &content{ReadCloser: body, s: s, stop: end}, nil
}

// content is an object that is read.
type content struct {
	io.ReadCloser
	s    *Store
	stop context.CancelFunc
}

// Read implements io.Reader.
func (c *content) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = c.s.say(err)
	}
	return n, err
}

// Close implements io.Closer.
func (c *content) Close() error {
	defer c.stop()
	return c.ReadCloser.Close()
}
