package main

import (
	"archive/zip"
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/textproto"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab/client"
	"github.com/ceralacca/ceralacca/deploy/lab/virus"
	"github.com/ceralacca/ceralacca/pec"
)

// viruses sends the test file of antivirus programs, which is refused, and an archive that nobody can look into, which
// passes with a warning, and shows both. It returns false when something does not hold.
func (s *story) viruses(ctx context.Context) (bool, error) {
	alfa, beta := s.env.Users("ALFA")[0], s.env.Users("BETA")[0]
	fmt.Fprintf(s.out, "\n%s sends a zip with the EICAR test file, and an encrypted zip, to %s.\n", alfa.Address, beta.Address)
	infected := s.sub("virus", map[string][]pec.Kind{alfa.Address: {pec.KindNonAcceptance}})
	locked := s.sub("encrypted", map[string][]pec.Kind{
		alfa.Address: {pec.KindAcceptance, pec.KindDelivery}, beta.Address: {pec.KindTransport},
		s.env.Login("ALFA_SERVICE_USER").Address: {pec.KindTakeCharge},
	})
	files := map[*story][]byte{infected: archive(0, virus.Eicar), locked: archive(1, strings.Repeat("#", 40))}
	for _, one := range []*story{infected, locked} {
		to := []string{beta.Address}
		text := one.original(alfa.Address, to, nil, attachment{"foto.zip", "application/zip", files[one]})
		mail := client.Mail{From: alfa.Address, To: to, Data: bytes.NewReader(text)}
		if err := s.env.Submit("ALFA", alfa, mail); err != nil {
			return false, err
		}
	}
	good := true
	for _, one := range []*story{infected, locked} {
		held, err := one.shown(ctx)
		if err != nil {
			return false, err
		}
		good = good && held
	}
	fmt.Fprintf(s.out, "\nceralacca quarantine list --config %s\n", s.env["ALFA_CONFIG"])
	out, err := exec.CommandContext(ctx, s.env["LAB_BIN"], "quarantine", "list", "--config", s.env["ALFA_CONFIG"]).CombinedOutput()
	fmt.Fprint(s.out, indented(string(out)))
	return good && strings.Contains(string(out), virus.EicarName), err
}

// sub is a story of its own, with a folder of its own.
func (s *story) sub(name string, want map[string][]pec.Kind) *story {
	return &story{env: s.env, out: s.out, files: filepath.Join(s.files, name), want: want,
		ref: fmt.Sprintf("<demo.%s.%d@client.example>", name, time.Now().UnixNano())}
}

// shown waits for all that must happen, saves it, and shows the text of what the demo is about.
func (s *story) shown(ctx context.Context) (bool, error) {
	var err error
	if s.found, err = s.env.Await(ctx, s.ref, s.want); err != nil {
		return false, err
	}
	list, err := s.save()
	if err != nil {
		return false, err
	}
	good := true
	for _, m := range list {
		_, sslErr := client.OpenSSL(ctx, m.message.Raw, s.env["LAB_CA"], s.env["LAB_CRL"])
		good = good && sslErr == nil
		if kind := m.message.Kind(); kind == pec.KindNonAcceptance || kind == pec.KindTransport {
			fmt.Fprintf(s.out, "\n%s\n  openssl: %s\n  to %s: %s\n%s", m.file, verdict(sslErr), m.mailbox,
				pec.DecodeText(m.message.Header.Get("Subject")), indented(readable(m.message.Raw)))
		}
	}
	return good, nil
}

// archive is a zip with one file; flags is 1 for one that is said to be encrypted.
func archive(flags uint16, text string) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	into, err := w.CreateRaw(&zip.FileHeader{Name: "foto.com", Flags: flags, CompressedSize64: uint64(len(text)), UncompressedSize64: uint64(len(text))})
	if err == nil {
		_, err = io.WriteString(into, text)
	}
	if err != nil || w.Close() != nil {
		panic("a buffer takes everything")
	}
	return b.Bytes()
}

// readable is the first plain text in a message.
func readable(raw []byte) string {
	head, body, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
	header, err := textproto.NewReader(bufio.NewReader(io.MultiReader(bytes.NewReader(head), strings.NewReader("\r\n\r\n")))).ReadMIMEHeader()
	if err != nil {
		return ""
	}
	return textOf(header, bytes.NewReader(body))
}

func textOf(header textproto.MIMEHeader, body io.Reader) string {
	kind, params, _ := mime.ParseMediaType(header.Get("Content-Type"))
	if strings.HasPrefix(kind, "multipart/") {
		parts := multipart.NewReader(body, params["boundary"])
		for {
			p, err := parts.NextRawPart()
			if err != nil {
				return ""
			}
			if text := textOf(p.Header, p); text != "" {
				return text
			}
		}
	}
	switch strings.ToLower(header.Get("Content-Transfer-Encoding")) {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	}
	text, _ := io.ReadAll(body) // what can be read is shown
	if kind != "text/plain" {
		return ""
	}
	return string(text)
}

func indented(text string) string {
	var b strings.Builder
	for line := range strings.Lines(strings.ReplaceAll(strings.TrimSpace(text), "\r\n", "\n")) {
		b.WriteString("  | " + line)
	}
	return b.String() + "\n"
}
