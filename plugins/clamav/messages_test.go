package main

import (
	"archive/zip"
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"
)

// file is one attachment.
type file struct{ name, data string }

// message is mail with attachments, and these lines at its beginning.
func message(head string, files ...file) string {
	var b strings.Builder
	b.WriteString(head + "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"B\"\r\n\r\n--B\r\nContent-Type: text/plain\r\n\r\nCiao.\r\n")
	for _, f := range files {
		fmt.Fprintf(&b, "--B\r\nContent-Type: application/octet-stream; name=%q\r\nContent-Transfer-Encoding: base64\r\n\r\n%s\r\n",
			f.name, wrapped(f.data))
	}
	return b.String() + "--B--\r\n"
}

func wrapped(data string) string {
	text := base64.StdEncoding.EncodeToString([]byte(data))
	var b strings.Builder
	for len(text) > 76 {
		b.WriteString(text[:76] + "\r\n")
		text = text[76:]
	}
	return b.String() + text
}

const head = "From: a@alfa.example\r\nTo: b@beta.example\r\nSubject: x\r\n"

func zipped(data string, times int) string {
	for range times {
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		into, _ := w.Create("inner.zip")
		_, _ = into.Write([]byte(data))
		_ = w.Close() // a buffer takes everything
		data = b.String()
	}
	return data
}

// random is content that no clamd has seen: it remembers what was clean.
func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return string(b)
}

// encrypted7z is an archive whose table of contents is encrypted: signature, start header (version, its checksum, where
// the next header is and its checksum), sixteen bytes of nothing, and the next header: an encoded one (17), packed in one
// stream of 16 bytes (06 00 01 09 10 00), which one folder with one coder makes, AES-256 with SHA-256 (06F10701).
func encrypted7z() string {
	header := []byte{0x17, 6, 0, 1, 9, 16, 0, 7, 0x0b, 1, 0, 1, 0x24, 6, 0xf1, 7, 1, 2, 0x13, 0, 0x0c, 16, 0, 0}
	start := binary.LittleEndian.AppendUint64(nil, 16)
	start = binary.LittleEndian.AppendUint64(start, uint64(len(header)))
	start = binary.LittleEndian.AppendUint32(start, crc32.ChecksumIEEE(header))
	out := append([]byte("7z\xbc\xaf'\x1c\x00\x04"), binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE(start))...)
	return string(out) + string(start) + random(16) + string(header)
}

// encryptedPDF is a document whose trailer names an encryption with a user's password that is not empty: /U is nothing
// that the empty one makes.
func encryptedPDF() string {
	objects := []string{"<< /Type /Catalog /Pages 2 0 R >>", "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
		"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] >>",
		fmt.Sprintf("<< /Filter /Standard /V 2 /R 3 /Length 128 /P -3904 /O <%x> /U <%x> >>", random(32), random(32))}
	out, table := "%PDF-1.4\n", ""
	for i, o := range objects {
		table += fmt.Sprintf("%010d 00000 n \n", len(out))
		out += fmt.Sprintf("%d 0 obj\n%s\nendobj\n", i+1, o)
	}
	return out + fmt.Sprintf("xref\n0 5\n0000000000 65535 f \n%strailer\n<< /Size 5 /Root 1 0 R /Encrypt 4 0 R /ID [<%x> <%x>] >>\nstartxref\n%d\n%%%%EOF\n",
		table, random(16), random(16), len(out))
}
