package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/minio/minio-go/v7"

	"github.com/ceralacca/ceralacca/deploy/lab/pki"
	lab "github.com/ceralacca/ceralacca/deploy/lab/s3"
	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/store"
)

func good(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// place is a real store with a certificate of its own authority, or without one.
func place(t *testing.T, secure bool) (*lab.Server, Options) {
	t.Helper()
	dir, o := t.TempDir(), Options{Region: lab.Region, Bucket: lab.Bucket, Prefix: "archivio/alfa", AccessKey: lab.Access, SecretKey: lab.Secret,
		Timeout: 10 * time.Second, Complete: "SUMS"}
	cert, key, scheme := "", "", "http"
	if secure {
		authority, err := pki.NewAuthority("Store CA", clock.System{}.Now())
		good(t, err)
		pair, err := authority.Server("localhost", "127.0.0.1")
		good(t, err)
		text, err := pair.KeyPEM()
		good(t, err)
		cert, key, scheme = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), "https"
		good(t, os.WriteFile(cert, pair.CertPEM(), 0o600))
		good(t, os.WriteFile(key, text, 0o600))
		o.Authorities = x509.NewCertPool()
		o.Authorities.AppendCertsFromPEM(authority.CertPEM())
	}
	server, err := lab.New(dir, cert, key)
	good(t, err)
	t.Cleanup(server.Stop)
	good(t, server.Start(t.Context()))
	o.Endpoint = scheme + "://" + server.Address
	return server, o
}

func open(t *testing.T, o Options) *Store {
	t.Helper()
	s, err := New(o)
	good(t, err)
	return s
}

func file(name, text string) store.File {
	return store.File{Name: name, Size: int64(len(text)), SHA256: fmt.Sprintf("%x", sha256.Sum256([]byte(text))),
		Open: func() (io.ReadCloser, error) { return sought{strings.NewReader(text)}, nil }}
}

type sought struct{ *strings.Reader }

func (sought) Close() error { return nil }

func files() []store.File {
	return []store.File{file("documenti/00001.eml", "one"), file("documenti/00002.eml", strings.Repeat("two\r\n", 1e5)), file("documenti/00003.eml", ""),
		file("PIndex.xml", "<x/>"), file("SUMS", "sums")}
}

// holds wants a package that has the files, byte for byte.
func holds(t *testing.T, s *Store, name string, want []store.File) {
	t.Helper()
	p, found, err := s.Package(t.Context(), name)
	if err != nil || !found {
		t.Fatalf("Package(%s): %v, %v", name, found, err)
	}
	names, err := p.Files(t.Context())
	if err != nil || len(names) != len(want) {
		t.Errorf("Files = %q, %v", names, err)
	}
	for _, f := range want {
		r, err := p.Open(t.Context(), f.Name)
		good(t, err)
		got, err := io.ReadAll(r)
		good(t, errors.Join(err, r.Close()))
		if fmt.Sprintf("%x", sha256.Sum256(got)) != f.SHA256 {
			t.Errorf("%s is %d bytes of something else", f.Name, len(got))
		}
	}
	if _, err := p.Open(t.Context(), "documenti/99999.eml"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v, want fs.ErrNotExist", err)
	}
}

// written says when each object was written, by the store's own folder.
func written(t *testing.T, server *lab.Server) map[string]int64 {
	t.Helper()
	all := map[string]int64{}
	good(t, filepath.Walk(server.Path("archivio"), func(path string, info fs.FileInfo, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // nothing was put yet
		}
		if err == nil && !info.IsDir() {
			all[strings.TrimPrefix(path, server.Path(""))] = info.ModTime().UnixNano()
		}
		return err
	}))
	return all
}

// A package comes back as it was, over TLS and without, whatever the mailbox is called; put again it stays as it is.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{true, false} {
		server, o := place(t, secure)
		s := open(t, o)
		good(t, s.Reach(t.Context()))
		for _, name := range []string{"mario@alfa.example/2026-11-03-001", "o'brien+x%2Fy=%C3%A9 &@alfa.example/2026-11-03-001"} {
			if _, found, err := s.Package(t.Context(), name); found || err != nil {
				t.Fatalf("before: %v, %v", found, err)
			}
			good(t, s.Put(t.Context(), name, files()))
			holds(t, s, name, files())
			before := written(t, server)
			good(t, s.Put(t.Context(), name, files()))
			if d := cmp.Diff(before, written(t, server)); d != "" {
				t.Errorf("put again, objects change: %s", d)
			}
		}
	}
}

// Interrupted at any file, a package is not there; the next Put completes it, and writes nothing twice.
func TestInterruptedAtEachFile(t *testing.T) {
	t.Parallel()
	server, o := place(t, true)
	s := open(t, o)
	for i := range files() {
		name := fmt.Sprintf("mario@alfa.example/2026-11-03-%03d", i+1)
		ctx, cut := context.WithCancel(t.Context())
		interrupted := files()
		whole := interrupted[i].Open
		interrupted[i].Open = func() (io.ReadCloser, error) {
			cut()
			return whole()
		}
		if err := s.Put(ctx, name, interrupted); err == nil {
			t.Errorf("interrupted at %s, Put is content", interrupted[i].Name)
		}
		if _, found, err := s.Package(t.Context(), name); found || err != nil {
			t.Errorf("interrupted at %s: %v, %v", interrupted[i].Name, found, err)
		}
		before := written(t, server)
		good(t, s.Put(t.Context(), name, files()))
		holds(t, s, name, files())
		after := written(t, server)
		for path, at := range before {
			if after[path] != at {
				t.Errorf("%s was written twice", path)
			}
		}
	}
}

// What is there and is something else stays, and is an error: a whole package, a part of one, a stranger in its folder.
func TestSomethingElse(t *testing.T) {
	t.Parallel()
	server, o := place(t, true)
	s := open(t, o)
	other := files()
	other[0], other[4] = file(other[0].Name, "eno"), file("SUMS", "smus")
	good(t, s.Put(t.Context(), "whole/1", other))
	good(t, s.put(t.Context(), "half/1", other[0]))
	good(t, s.put(t.Context(), "stranger/1", file("documenti/77777.eml", "x")))
	for _, name := range []string{"whole/1", "half/1", "stranger/1"} {
		before := written(t, server)
		if err := s.Put(t.Context(), name, files()); !errors.Is(err, store.ErrOther) {
			t.Errorf("%s: %v, want ErrOther", name, err)
		}
		for path, at := range before {
			if after := written(t, server); after[path] != at {
				t.Errorf("%s was overwritten", path)
			}
		}
		if _, found, _ := s.Package(t.Context(), name); found != (name == "whole/1") {
			t.Errorf("%s: found is %v", name, found)
		}
	}
	if err := s.put(t.Context(), "whole/1", file("SUMS", "x")); !errors.Is(err, store.ErrOther) { // as if the listing were late
		t.Errorf("an object that is there: %v, want ErrOther", err)
	}
}

// The store itself refuses what does not have the SHA-256 of the index.
func TestContentIsHeldAgainstItsDigest(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{true, false} {
		server, o := place(t, secure)
		s := open(t, o)
		changed := files()
		changed[1].Open = func() (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(strings.Repeat("two\r\t", 1e5))), nil
		}
		err := s.Put(t.Context(), "a/1", changed)
		if err == nil || !strings.Contains(err.Error(), "what arrived is not what the package says of it") {
			t.Errorf("Put = %v", err)
		}
		if _, err := os.Stat(server.Path("archivio/alfa/a/1/" + changed[1].Name)); err == nil {
			t.Error("the store has it")
		}
		changed[1].Open = func() (io.ReadCloser, error) { return nil, fs.ErrPermission }
		if err := s.Put(t.Context(), "a/1", changed); !errors.Is(err, fs.ErrPermission) || strings.Contains(err.Error(), "bucket") {
			t.Errorf("a file that cannot be read: %v", err)
		}
	}
}

// Every fault is a sentence that says where, and what to do.
func TestSentences(t *testing.T) {
	t.Parallel()
	server, secure := place(t, true)
	_, open1 := place(t, false)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes calls, and never answers
	good(t, err)
	defer func() { _ = silent.Close() }()
	for name, test := range map[string]struct {
		change func(*Options)
		want   string
	}{
		"secret":    {func(o *Options) { o.SecretKey = "another" }, "the store refuses the key; look at access_key_file"},
		"key":       {func(o *Options) { o.AccessKey = "another" }, "the store refuses the key; look at access_key_file"},
		"bucket":    {func(o *Options) { o.Bucket = "elsewhere" }, "there is no such bucket; make it"},
		"region":    {func(o *Options) { o.Region = "us-east-1" }, "the bucket is in the region eu-south-1; write it to region"},
		"authority": {func(o *Options) { o.Authorities = nil }, "name its own in authorities"},
		"host":      {func(o *Options) { o.Endpoint = "https://[::1]" + o.Endpoint[strings.LastIndex(o.Endpoint, ":"):] }, "cannot be reached"},
		"no TLS":    {func(o *Options) { o.Endpoint = strings.Replace(open1.Endpoint, "http:", "https:", 1) }, "does not speak TLS there"},
		"silent":    {func(o *Options) { o.Endpoint, o.Timeout = "http://"+silent.Addr().String(), time.Second/4 }, "does not answer in time"},
		"name":      {func(o *Options) { o.Endpoint = "https://store.invalid" }, "look at endpoint"},
	} {
		o := secure
		test.change(&o)
		s := open(t, o)
		_, _, found := s.Package(t.Context(), "a/1")
		for what, err := range map[string]error{"Reach": s.Reach(t.Context()), "Package": found, "Put": s.Put(t.Context(), "a/1", files())} {
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "bucket "+o.Bucket+" at "+o.Endpoint) {
				t.Errorf("%s, %s: %v; want it to say %q", name, what, err, test.want)
			}
		}
	}
	server.Stop()
	s := open(t, secure)
	if err := s.Put(t.Context(), "a/1", files()); err == nil || !strings.Contains(err.Error(), "the store cannot be reached") {
		t.Errorf("down: %v", err)
	}
	good(t, server.Start(t.Context()))
	good(t, s.Put(t.Context(), "a/1", files()))
	holds(t, s, "a/1", files())
}

// An address that is none is told at once.
func TestEndpoint(t *testing.T) {
	t.Parallel()
	for _, endpoint := range []string{"", "store.example", "https://", "https://a.example/path", "https://u:p@a.example", "https://a.example?x", "https://a b"} {
		if _, err := New(Options{Endpoint: endpoint, Bucket: "b"}); !errors.Is(err, ErrEndpoint) {
			t.Errorf("New(%q) = %v, want ErrEndpoint", endpoint, err)
		}
	}
}

// older stands before a store and makes an older one of it: no If-None-Match, no digest kept; and busy for a while.
func older(t *testing.T, o *Options, busy int32) *atomic.Int32 {
	t.Helper()
	to, err := url.Parse(o.Endpoint)
	good(t, err)
	var calls atomic.Int32
	proxy := &httputil.ReverseProxy{
		ErrorLog: log.New(io.Discard, "", 0), // of who has gone
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host // which is signed
		},
		ModifyResponse: func(r *http.Response) error {
			r.Header.Del(sumHeader)
			return nil
		},
	}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		code, status := "NotImplemented", http.StatusNotImplemented
		if calls.Add(1) <= busy {
			code, status = "SlowDown", http.StatusServiceUnavailable
		} else if r.Header.Get("If-None-Match") == "" {
			proxy.ServeHTTP(w, r)
			return
		}
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>no</Message></Error>", code)
	}))
	t.Cleanup(front.Close)
	o.Endpoint = front.URL
	return &calls
}

// An older store, that knows no condition and keeps no digest, has its objects read again; one that is busy is asked again.
func TestOlderStore(t *testing.T) {
	t.Parallel()
	_, o := place(t, false)
	older(t, &o, 1)
	s := open(t, o)
	good(t, s.put(t.Context(), "a/1", files()[0]))
	good(t, s.Put(t.Context(), "a/1", files()))
	good(t, s.Put(t.Context(), "a/1", files()))
	holds(t, s, "a/1", files())
	good(t, s.put(t.Context(), "b/1", file("PIndex.xml", "other")))
	if err := s.Put(t.Context(), "b/1", files()); !errors.Is(err, store.ErrOther) {
		t.Errorf("something else: %v, want ErrOther", err)
	}
	older(t, &o, 1e6)
	if err := open(t, o).Put(t.Context(), "c/1", files()); err == nil || !strings.Contains(err.Error(), "the store cannot now") {
		t.Errorf("busy for good: %v", err)
	}
}

// policy is the one of docs/conserve.md, for a user of the lab.
func policy(t *testing.T, user string) string {
	t.Helper()
	page, err := os.ReadFile("../../../../docs/conserve.md")
	good(t, err)
	_, text, found := strings.Cut(string(page), "```json\n")
	text, _, closed := strings.Cut(text, "```")
	if !found || !closed || !strings.Contains(text, `"Effect": "Allow",`) {
		t.Fatal("docs/conserve.md has no policy")
	}
	text = strings.ReplaceAll(text, `"Effect": "Allow",`, `"Effect": "Allow", "Principal": {"AWS": ["`+user+`"]},`)
	return strings.ReplaceAll(strings.ReplaceAll(text, "NAME-OF-BUCKET", lab.Bucket), "PREFIX", "archivio/alfa")
}

// With the policy of the documentation packages go in and come out, and nothing else can be done by the key; without it the
// key may nothing, and is told so.
func TestSmallestPolicy(t *testing.T) {
	t.Parallel()
	server, o := place(t, false)
	good(t, server.User(t.Context(), "user", "secret-of-the-user"))
	root := open(t, o)
	o.AccessKey, o.SecretKey = "user", "secret-of-the-user"
	s := open(t, o)
	for what, err := range map[string]error{"Reach": s.Reach(t.Context()), "Put": s.Put(t.Context(), "a/1", files()), "put": s.put(t.Context(), "a/1", files()[0])} {
		if err == nil || !strings.Contains(err.Error(), "the key may not do this; give it s3:ListBucket") {
			t.Errorf("%s without a policy: %v", what, err)
		}
	}
	good(t, root.client.SetBucketPolicy(t.Context(), lab.Bucket, policy(t, "user")))
	good(t, s.Reach(t.Context()))
	good(t, s.put(t.Context(), "a/1", files()[0]))
	good(t, s.Put(t.Context(), "a/1", files()))
	holds(t, s, "a/1", files())
	if err := s.client.RemoveObject(t.Context(), lab.Bucket, s.key("a/1/SUMS"), minio.RemoveObjectOptions{}); err == nil {
		t.Error("the key can delete")
	}
	o.Prefix = "elsewhere"
	if err := open(t, o).put(t.Context(), "a/1", files()[0]); err == nil {
		t.Error("the key can put elsewhere")
	}
	holds(t, s, "a/1", files())
}

// Documents of 30 MB go through in little memory: all that is ever allocated is bounded, put and read.
func TestConstantMemory(t *testing.T) {
	const size, most = 30 << 20, 32 << 20 // of 180 MB that pass; the race detector throws buffers away, without it they are 2 MB
	_, o := place(t, true)
	path := filepath.Join(t.TempDir(), "big")
	big := bytes.Repeat([]byte("0123456789abcde\n"), size/16)
	sum := fmt.Sprintf("%x", sha256.Sum256(big))
	good(t, os.WriteFile(path, big, 0o600))
	var list []store.File
	for i := range 5 {
		list = append(list, store.File{Name: fmt.Sprintf("documenti/%05d.eml", i), Size: size, SHA256: sum, Open: func() (io.ReadCloser, error) { return os.Open(path) }})
	}
	s := open(t, o)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	good(t, s.Put(t.Context(), "a/1", append(list, file("SUMS", "x"))))
	p, _, err := s.Package(t.Context(), "a/1")
	good(t, err)
	r, err := p.Open(t.Context(), list[0].Name)
	good(t, err)
	n, err := io.Copy(io.Discard, r)
	good(t, errors.Join(err, r.Close()))
	runtime.ReadMemStats(&after)
	allocated := after.TotalAlloc - before.TotalAlloc
	t.Logf("%d bytes read, %.1f MB allocated in all for five documents of 30 MB put and one read", n, float64(allocated)/(1<<20))
	if n != size || allocated > most {
		t.Errorf("%d bytes read, %d allocated; at most %d", n, allocated, most)
	}
}
