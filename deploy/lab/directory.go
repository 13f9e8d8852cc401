package lab

import (
	"context"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab/pki"
)

// record is what the directory says of one provider, or of a secondary environment of it.
type record struct {
	name, unit, mailReceipt string
	location                string // of a main record
	domains                 []string
	certificates            []*pki.Pair
}

// records are the providers of the lab. Delta's record lists, beside its good
// certificate, the next one, a revoked and an expired one, and one that testers may
// revoke; the stranger's is in no record. Delta has a secondary environment. [C210] [C221]
func (l *Lab) records() []record {
	k, d := l.keys, l.Delta
	own := func(domain string) string { return "https://www." + domain + "/pec.ldif.p7m" }
	return []record{
		{l.Alfa.Provider, "", l.Alfa.ServiceUser.Address, own(l.Alfa.Domain), l.Alfa.domains(), []*pki.Pair{k.alfa}},
		{l.Beta.Provider, "", l.Beta.ServiceUser.Address, own(l.Beta.Domain), []string{l.Beta.Domain}, []*pki.Pair{k.beta}},
		{d.Provider, "", d.MailReceipt, own(d.Domain), []string{d.Domain}, []*pki.Pair{k.delta, k.next, k.revoked, k.expired, k.leaving}},
		{d.Provider, d.Unit, d.UnitMailReceipt, "", []string{d.UnitDomain}, []*pki.Pair{k.unit}},
	}
}

// ldif writes the directory. [C207] [C208] [C209] [C214] [C215] [C219] [C220] [C221]
func ldif(url string, records []record) string {
	var b strings.Builder
	b.WriteString("dn: o=postacert\nobjectClass: top\nobjectClass: organization\nobjectClass: LDIFLocationURLObject\n")
	fmt.Fprintf(&b, "o: postacert\nLDIFLocationURL: %s\ndescription: Providers of a ceralacca lab\n", url)
	for _, r := range records {
		dn := "providerName=" + r.name + ",o=postacert"
		if r.unit != "" {
			dn = "providerUnit=" + strings.ReplaceAll(r.unit, ",", `\,`) + "," + dn
		}
		fmt.Fprintf(&b, "\ndn: %s\nobjectClass: top\nobjectClass: provider\nproviderName: %s\n", dn, r.name)
		if r.unit != "" {
			fmt.Fprintf(&b, "providerUnit: %s\n", r.unit)
		}
		if r.location != "" {
			fmt.Fprintf(&b, "LDIFLocationURL: %s\n", r.location)
		}
		for _, c := range r.certificates {
			fmt.Fprintf(&b, "providerCertificateHash: %X\n", sha1.Sum(c.Cert.Raw))
			fmt.Fprintf(&b, "providerCertificate;binary:: %s\n", folded(base64.StdEncoding.EncodeToString(c.Cert.Raw)))
		}
		fmt.Fprintf(&b, "mailReceipt: %s\n", r.mailReceipt)
		for _, d := range r.domains {
			fmt.Fprintf(&b, "managedDomains: %s\n", d)
		}
	}
	return b.String()
}

// folded breaks a long value the LDIF way: continuation lines begin with a space.
func folded(value string) string {
	const width = 76
	var b strings.Builder
	for len(value) > width {
		b.WriteString(value[:width] + "\n ")
		value = value[width:]
	}
	return b.String() + value
}

// writeDirectory writes and signs the directory: one PKCS#7 in DER with file,
// signature and certificate. [C211]
func (l *Lab) writeDirectory(ctx context.Context) error {
	plain := strings.TrimSuffix(l.DirectoryP7M, ".p7m")
	if err := os.WriteFile(plain, []byte(ldif(l.DirectoryURL, l.records())), 0o644); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, "openssl", "cms", "-sign", "-nodetach", "-binary", "-md", "sha256",
		"-in", plain, "-signer", l.pkiPath("directory-signer.crt"), "-inkey", l.DirectorySignerKey,
		"-outform", "DER", "-out", l.DirectoryP7M).CombinedOutput()
	if err != nil {
		return fmt.Errorf("sign the directory: %w: %s", err, out)
	}
	return os.Chmod(l.DirectoryP7M, 0o644)
}

// serveDirectory serves DirectoryP7M over HTTPS to holders of a client certificate
// of the lab's CA. Each request reads the file again. [C223]
func (l *Lab) serveDirectory(listener net.Listener) error {
	server, err := l.keys.ca.Server("igpec.example", listener.Addr().(*net.TCPAddr).IP.String())
	if err != nil {
		return err
	}
	clients := x509.NewCertPool()
	clients.AddCert(l.keys.ca.Cert)
	file := l.DirectoryP7M
	l.web = &http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/pkcs7-mime; smime-type=signed-data")
			http.ServeFile(w, r, file)
		}),
	}
	config := &tls.Config{
		MinVersion:   tls.VersionTLS12,
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    clients,
		Certificates: []tls.Certificate{{Certificate: [][]byte{server.Cert.Raw}, PrivateKey: server.Key}},
	}
	go func() { _ = l.web.Serve(tls.NewListener(listener, config)) }() // ends with Close
	return nil
}

// directoryFolder is where the daemons read the signed directory.
func (l *Lab) directoryFolder() string { return filepath.Join(l.runtime, "directory") }
