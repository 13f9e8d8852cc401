package brief

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"github.com/ceralacca/ceralacca/pec"
)

// Read returns the hash files of the original of a brief receipt, in order, whoever made it. Errors are [ErrUncertain],
// also when a file in it is no hash file, and those of reading it.
func Read(original pec.Source) ([]File, error) {
	parts, err := find(original)
	if err != nil {
		return nil, err
	}
	var files []File
	for _, p := range parts {
		f, err := p.hashFile(original)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

// maxHashFile is more than a hash file holds, in bytes.
const maxHashFile = 200

// hashFile reads a part as a hash file. White space around the hash is forgiven.
func (p *part) hashFile(original pec.Source) (File, error) {
	f := File{Name: p.name.shown()}
	content := make([]byte, min(p.end-p.body, maxHashFile))
	if n, err := original.ReadAt(content, p.body); n < len(content) {
		return f, fmt.Errorf("%q: %w", f.Name, err)
	}
	if encoding := p.encoding; encoding == "base64" || encoding == "quoted-printable" {
		h := &hasher{over: OverDecoded, in: bufio.NewReader(bytes.NewReader(content))}
		decoded, err := h.decoder(encoding)
		if err == nil {
			content, err = io.ReadAll(decoded)
		}
		if err != nil {
			return f, uncertain("%q cannot be decoded: %w", f.Name, err)
		}
	}
	f.Sum = strings.ToLower(strings.TrimSpace(string(content)))
	if sum, err := hex.DecodeString(f.Sum); err != nil || algorithmOf(len(sum)) == "" {
		return f, uncertain("%q is no hash file", f.Name)
	}
	return f, nil
}

// algorithmOf is the algorithm whose hashes have that many bytes; "" when there is none.
func algorithmOf(n int) string {
	return map[int]string{20: SHA1, 32: SHA256}[n]
}

// Algorithm is the algorithm of a hash; "" when there is none.
func (f File) Algorithm() string { return algorithmOf(len(f.Sum) / 2) }
