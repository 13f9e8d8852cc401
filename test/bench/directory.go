package main

import (
	"crypto/sha1"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab/pki"
	"github.com/ceralacca/ceralacca/internal/directory"
	"github.com/ceralacca/ceralacca/signer"
)

// manyDomains is how many domains the large directory has.
const manyDomains = 100_000

// largeDirectory reads a signed directory of 100,000 domains, all of one provider or of twenty-five, and asks it. It is measured
// in this process: the daemons call the same.
func largeDirectory(b *bench) ([]row, error) {
	var rows []row
	for _, providers := range []int{25, 1} {
		file, err := b.writeDirectory(providers)
		if err != nil {
			return nil, err
		}
		r, err := b.readDirectory(file, providers)
		_ = os.Remove(file) // it is made again each time
		if err != nil {
			return rows, err
		}
		rows = append(rows, r...)
	}
	return rows, nil
}

// readDirectory measures: open and parse, the memory that is held, and lookups.
func (b *bench) readDirectory(file string, providers int) ([]row, error) {
	var times []time.Duration
	var held uint64
	var s *directory.Snapshot
	for range b.rounds {
		s = nil
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		began := time.Now()
		var err error
		if s, _, err = directory.OpenFile(file); err != nil {
			return nil, err
		}
		times = append(times, time.Since(began))
		runtime.GC()
		runtime.ReadMemStats(&after)
		held = after.HeapAlloc - before.HeapAlloc
	}
	slices.Sort(times)
	took := times[len(times)/2]
	const asked = 1_000_000
	began := time.Now()
	for i := range asked {
		domain := largeDomain(i%manyDomains, providers)
		if r, ok := s.ByDomain(domain); !ok || !r.Manages(domain) {
			return nil, fmt.Errorf("%s is not in the directory", domain)
		}
	}
	each := time.Since(began) / asked
	name := fmt.Sprintf("100,000 domains of %d providers: ", providers)
	return []row{
		{name + "signature and reading", fmt.Sprintf("%.2f s", took.Seconds()), none, none, "≤ 1 s", took <= time.Second},
		{name + "memory held", fmt.Sprintf("%.1f MiB", float64(held)/(1<<20)), none, none, none, true},
		{name + "a lookup, and whether the provider manages it", each.String(), none, none, none, true},
	}, nil
}

func largeDomain(i, providers int) string {
	return fmt.Sprintf("comune-%d.provincia-%d.pec.example", i/providers, i%providers)
}

// writeDirectory writes the directory and signs it with a key. Each provider has a certificate that is like that of the key but for
// its last byte: two records may not share one.
func (b *bench) writeDirectory(providers int) (string, error) {
	ca, err := pki.NewAuthority("bench CA", time.Now())
	if err != nil {
		return "", err
	}
	alfa, err := ca.Signing("Alfa", "posta-certificata@alfa.example")
	if err != nil {
		return "", err
	}
	key, err := signer.NewKey(alfa.Key, []*x509.Certificate{alfa.Cert})
	if err != nil {
		return "", err
	}
	certificate := slices.Clone(alfa.Cert.Raw)
	var text strings.Builder
	text.WriteString("dn: o=postacert\nobjectClass: top\no: postacert\n")
	for p := range providers {
		certificate[len(certificate)-1] = byte(p) // of its signature, which nobody asks for here
		fmt.Fprintf(&text, "\ndn: providerName=P%d,o=postacert\nobjectClass: provider\nproviderName: P%d\nmailReceipt: r@p%d.example\n"+
			"providerCertificateHash: %X\nproviderCertificate;binary:: %s\n", p, p, p, sha1.Sum(certificate), base64.StdEncoding.EncodeToString(certificate))
		for i := p; i < manyDomains; i += providers {
			fmt.Fprintf(&text, "managedDomains: %s\n", largeDomain(i, providers))
		}
	}
	der, err := signer.SealAttached(b.ctx, key, []byte(text.String()))
	if err != nil {
		return "", err
	}
	file := filepath.Join(b.dir, "large.ldif.p7m")
	return file, os.WriteFile(file, der, 0o644)
}
