package main

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"

	"github.com/ceralacca/ceralacca/plugins"
)

// errSetup says that a clamd is configured so that its answers cannot be relied on.
var errSetup = errors.New("is not set up for mail that must be looked at as a whole")

// tooDeep is more than clamd lets anybody write for MaxRecursion.
const tooDeep = 110

// prove holds a clamd against what we rely on, with archives that it has never seen: it remembers what was clean.
func (c *clamd) prove(ctx context.Context) error {
	verdict, virus, err := c.probe(ctx, encryptedZip())
	switch {
	case err != nil:
		return err
	case verdict == plugins.Clean:
		return fmt.Errorf("clamd at %s %w: it calls an encrypted archive clean; write AlertEncrypted yes in its clamd.conf", c.address, errSetup)
	case verdict == plugins.Infected:
		return fmt.Errorf("clamd at %s %w: it calls every encrypted archive infected by %q", c.address, errSetup, virus)
	}
	verdict, virus, err = c.probe(ctx, nestedZip())
	switch {
	case errors.Is(err, errLimit):
		return nil
	case err != nil:
		return err
	case verdict == plugins.Infected:
		return fmt.Errorf("clamd at %s %w: it calls an archive in archives infected by %q", c.address, errSetup, virus)
	}
	return fmt.Errorf("clamd at %s %w: it calls clean what is beyond its limits; write AlertExceedsMax yes in its clamd.conf", c.address, errSetup)
}

func (c *clamd) probe(ctx context.Context, content []byte) (plugins.Verdict, string, error) {
	answer, err := c.stream(ctx, bytes.NewReader(content))
	if err != nil {
		return plugins.Unscanned, "", err
	}
	return judge(answer)
}

// encryptedZip says of its one file that it is encrypted; what is in it is nothing.
func encryptedZip() []byte {
	const head = 12 // bytes of the encryption's own
	secret := make([]byte, head+64)
	_, _ = rand.Read(secret) // never fails: the runtime ends the process instead
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	into, err := w.CreateRaw(&zip.FileHeader{Name: "probe", Flags: 1, Method: zip.Store, CRC32: crc32.ChecksumIEEE(secret),
		CompressedSize64: uint64(len(secret)), UncompressedSize64: uint64(len(secret) - head)})
	if err == nil {
		_, err = into.Write(secret)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		panic(err) // a buffer takes everything
	}
	return out.Bytes()
}

// nestedZip is an archive in an archive, and so on.
func nestedZip() []byte {
	content := make([]byte, 64)
	_, _ = rand.Read(content) // never fails: the runtime ends the process instead
	for range tooDeep {
		var out bytes.Buffer
		w := zip.NewWriter(&out)
		into, err := w.Create("probe.zip")
		if err == nil {
			_, err = into.Write(content)
		}
		if err = errors.Join(err, w.Close()); err != nil {
			panic(err) // a buffer takes everything
		}
		content = out.Bytes()
	}
	return content
}

// zeros is content without end.
type zeros struct{}

// Read implements io.Reader.
func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// takes says what keeps a clamd from taking messages of a size.
func (c *clamd) takes(ctx context.Context, size int64) error {
	answer, err := c.stream(ctx, io.LimitReader(zeros{}, size))
	if err != nil {
		return err
	}
	if _, _, err = judge(answer); err == nil || !errors.Is(err, errLimit) {
		return err
	}
	setting := "StreamMaxLength"
	for _, name := range []string{"MaxFileSize", "MaxScanSize", "MaxScanTime"} {
		if strings.Contains(answer, name) {
			setting = name
		}
	}
	return fmt.Errorf("clamd at %s takes no message of max_size, %d bytes; write a larger %s in its clamd.conf", c.address, size, setting)
}
