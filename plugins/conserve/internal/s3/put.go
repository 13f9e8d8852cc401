package s3

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"

	"github.com/ceralacca/ceralacca/plugins/conserve/internal/store"
)

// uploads is how many files of a package are put at a time.
const uploads = 4

// Put implements store.Store. What a Put that was killed has left there is held against the files and stays; the last file is
// put when all others are seen in the bucket.
func (s *Store) Put(ctx context.Context, name string, files []store.File) error {
	last := files[len(files)-1]
	if last.Name != s.o.Complete {
		return fmt.Errorf("the last file of %s is %s, not %s", name, last.Name, s.o.Complete)
	}
	there, err := s.list(ctx, name, "")
	if err != nil {
		return err
	}
	if _, done := there[last.Name]; done {
		return s.same(ctx, name, last)
	}
	if err := s.putAll(ctx, name, files[:len(files)-1], there); err != nil {
		return err
	}
	if err := s.whole(ctx, name, files[:len(files)-1]); err != nil {
		return err
	}
	return s.put(ctx, name, last)
}

func (s *Store) putAll(ctx context.Context, name string, files []store.File, there map[string]int64) error {
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(uploads)
	for _, f := range files {
		if inner.Err() != nil {
			break // one has failed
		}
		group.Go(func() error {
			if _, ok := there[f.Name]; ok {
				return s.same(inner, name, f)
			}
			return s.put(inner, name, f)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// whole says whether the bucket lists all that was put, in its size, and nothing else.
func (s *Store) whole(ctx context.Context, name string, files []store.File) error {
	there, err := s.list(ctx, name, "")
	if err != nil {
		return err
	}
	for _, f := range files {
		size, ok := there[f.Name]
		if !ok || size != f.Size {
			return fmt.Errorf("%s/%s was put and is not there with its %d bytes: look at the store", s.key(name), f.Name, f.Size)
		}
		delete(there, f.Name)
	}
	for stranger := range there {
		return fmt.Errorf("%s/%s: %w", s.key(name), stranger, store.ErrOther)
	}
	return nil
}

// sumHeader is kept by the store beside the object.
const sumHeader = "X-Amz-Checksum-Sha256"

// put puts a file that is not there. Its SHA-256, which the index has too, is in the signature of the request: a store takes
// no other content.
func (s *Store) put(ctx context.Context, name string, f store.File) error {
	sum, err := hex.DecodeString(f.SHA256)
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	options := minio.PutObjectOptions{DisableContentSha256: true, // in chunks, which have signatures of their own
		UserMetadata: map[string]string{sumHeader: base64.StdEncoding.EncodeToString(sum)}}
	options.SetMatchETagExcept("*")
	err = s.send(ctx, name, f, options)
	switch answer := minio.ToErrorResponse(err); {
	case err == nil:
		return nil
	case answer.StatusCode == http.StatusPreconditionFailed: // the listing was late, or the answer to an earlier try got lost
		return s.same(ctx, name, f)
	case answer.Code == minio.NotImplemented: // If-None-Match; the listing had no such object
		plain := minio.PutObjectOptions{DisableContentSha256: true, UserMetadata: options.UserMetadata}
		err = s.send(ctx, name, f, plain)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name, s.say(err))
	}
	return nil
}

// errFile says that the trouble is ours.
var errFile = errors.New("it cannot be read")

// send makes one request, in constant memory: the store takes up to 5 GB in one.
func (s *Store) send(ctx context.Context, name string, f store.File, options minio.PutObjectOptions) error {
	body, err := f.Open()
	if err != nil {
		return fmt.Errorf("%w: %w", errFile, err)
	}
	defer func() { _ = body.Close() }() // it was only read
	ctx, stop := s.limit(ctx, f.Size)
	defer stop()
	_, err = s.client.PutObject(ctx, s.o.Bucket, s.key(name+"/"+f.Name), body, f.Size, "", f.SHA256, options)
	return err
}

// same says whether an object that is there is the file: by the SHA-256 that the store keeps of it, or by reading it.
func (s *Store) same(ctx context.Context, name string, f store.File) error {
	key := s.key(name + "/" + f.Name)
	inner, stop := s.limit(ctx, 0)
	defer stop()
	info, err := s.client.StatObject(inner, s.o.Bucket, key, minio.StatObjectOptions{Checksum: true})
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name, s.say(err))
	}
	kept := ""
	if sum, err := base64.StdEncoding.DecodeString(info.ChecksumSHA256); err == nil && len(sum) == sha256.Size {
		kept = hex.EncodeToString(sum)
	} else if kept, err = s.digest(ctx, name+"/"+f.Name); err != nil {
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	if info.Size != f.Size || kept != f.SHA256 {
		return fmt.Errorf("%s: %w", key, store.ErrOther)
	}
	return nil
}

func (s *Store) digest(ctx context.Context, name string) (string, error) {
	r, err := s.open(ctx, name)
	if err != nil {
		return "", err
	}
	defer func() { _ = r.Close() }() // it was only read
	sum := sha256.New()
	_, err = io.Copy(sum, r)
	return hex.EncodeToString(sum.Sum(nil)), err
}
