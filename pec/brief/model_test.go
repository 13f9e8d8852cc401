package brief

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
)

// model writes a message, and beside it what is to become of it.
type model struct {
	random        *rand.Rand
	message, want bytes.Buffer
	boundaries    int
	files         int
	within        int // messages
}

func (m *model) both(text string) {
	m.message.WriteString(text)
	m.want.WriteString(text)
}

func (m *model) choose(of ...string) string { return of[m.random.IntN(len(of))] }

func (m *model) bytes(n int) []byte {
	b := make([]byte, m.random.IntN(n))
	for i := range b {
		b[i] = byte(m.random.UintN(256))
	}
	return b
}

// entity writes one entity with its header; nothing below depth 4 is a multipart.
func (m *model) entity(depth int) {
	switch kind := m.random.IntN(6); {
	case depth == 0 || kind < 2 && depth < 4:
		m.multipart(depth)
	case kind == 2:
		m.both(m.choose("\r\n", "Content-Type: text/plain\r\n\r\n", "content-type: TEXT/html;\r\n\tcharset=x\r\n\r\n") +
			m.choose("", "ciao\r\n", "-- \r\nMario\r\n", "--\r\n\r\n", "è\r\n", strings.Repeat("-", 2000)))
	case kind == 3 && m.within < 2:
		m.nested()
	default:
		m.file()
	}
}

func (m *model) multipart(depth int) {
	m.boundaries++
	boundary := fmt.Sprintf("%s%d.", m.choose("=_", "----=_Part_", "b", "b b"), m.boundaries)
	m.both("Content-Type: multipart/" + m.choose("mixed", "related", "alternative", "x-unknown") + m.choose("; ", ";\r\n ") +
		`boundary="` + boundary + `"` + m.choose("", "; charset=utf-8") + "\r\n\r\n" + m.choose("", "preamble\r\n", "\r\n\r\n"))
	for range 1 + m.random.IntN(4) {
		m.both("--" + boundary + m.choose("", " ", "\t ") + "\r\n")
		m.entity(depth + 1)
		m.both("\r\n")
	}
	m.both("--" + boundary + "--" + m.choose("\r\n", " \r\n", "\r\nepilogue", "\r\n\r\nend\r\n"))
}

// file writes a part that has a name, and the hash file for it.
func (m *model) file() {
	m.files++
	content, name := m.bytes(500), fmt.Sprintf("file %d.bin", m.files)
	lines := base64.StdEncoding.EncodeToString(content)
	if n := m.random.IntN(200); n > 0 && n < len(lines) {
		lines = lines[:n] + "\r\n" + lines[n:]
	}
	before, between := m.choose("", "X-First: 1\r\n", "Content-ID: <a@b>\r\n"), m.choose("", "X-Other: \t=?x? \r\n folded\r\n")
	m.both(before)
	m.message.WriteString("Content-Type: application/x-thing; name=\"" + name + "\"\r\n")
	m.want.WriteString("Content-Type: text/plain;\r\n name=\"" + name + ".hash\"\r\n")
	m.both(between)
	disposition := m.choose("attachment", "inline")
	m.message.WriteString("Content-Disposition: " + disposition + m.choose("", "; filename=\""+name+"\"") + "\r\nContent-Transfer-Encoding: base64\r\n")
	m.want.WriteString("Content-Disposition: " + disposition + ";\r\n filename=\"" + name + ".hash\"\r\nContent-Transfer-Encoding: 7bit\r\n")
	m.both("\r\n")
	m.message.WriteString(lines)
	sum := sha1.Sum(content)
	m.want.WriteString(hex.EncodeToString(sum[:]))
}

// nested writes an attached message, whose parts do not count.
func (m *model) nested() {
	within := &model{random: m.random, boundaries: m.boundaries, within: m.within + 1}
	within.both("Subject: within\r\n")
	within.entity(0)
	m.boundaries, m.files = within.boundaries, m.files+1
	m.message.WriteString("Content-Type: message/rfc822\r\n\r\n" + within.message.String())
	sum := sha1.Sum(within.message.Bytes())
	m.want.WriteString("Content-Type: text/plain;\r\n name=\"messaggio.eml.hash\"\r\nContent-Transfer-Encoding: 7bit\r\n" +
		"Content-Disposition: attachment;\r\n filename=\"messaggio.eml.hash\"\r\n\r\n" + hex.EncodeToString(sum[:]))
}

// TestModel: of messages made at random, all that is no file stays byte for byte.
func TestModel(t *testing.T) {
	conformance.Covers(t, "C171", "C172", "C174")
	files := 0
	for seed := range uint64(3000) {
		m := &model{random: rand.New(rand.NewPCG(seed, 0))}
		m.both("From: mario@alfa.example\r\nSubject: Prova\r\n")
		m.entity(0)
		o, err := Cut(pec.Bytes(m.message.Bytes()), byDefault)
		if err != nil {
			t.Fatalf("seed %d: %v\n%q", seed, err, m.message.Bytes())
		}
		if diff := cmp.Diff(m.want.String(), string(joined(t, o))); diff != "" || len(o.Files) != m.files {
			t.Fatalf("seed %d: %d files, want %d (-want +got):\n%s", seed, len(o.Files), m.files, diff)
		}
		files += m.files
	}
	if files < 3000 {
		t.Errorf("only %d files in all", files)
	}
}
