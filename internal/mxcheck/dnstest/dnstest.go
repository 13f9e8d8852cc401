// Package dnstest is a DNS server for tests: a few names, by UDP, on the loopback, and nothing that a real one needs beside.
package dnstest

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// Zone is what the server knows, by name in lower case without a dot at the end. What is not in it does not exist.
type Zone map[string]Name

// Name is one name: its exchangers in the order of preference, its addresses. Fails makes the server fail.
type Name struct {
	MX, Addresses []string
	Fails         bool
}

// Start starts a server that ends with the test and returns its address, host:port.
func Start(t testing.TB, zone Zone) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		buffer := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return // the test has ended
			}
			if answer := zone.answer(buffer[:n]); answer != nil {
				_, _ = conn.WriteTo(answer, from) // who does not get it asks again
			}
		}
	}()
	return conn.LocalAddr().String()
}

func (z Zone) answer(question []byte) []byte {
	var m dnsmessage.Message
	if m.Unpack(question) != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
	name, known := z[strings.ToLower(strings.TrimSuffix(q.Name.String(), "."))]
	switch {
	case !known:
		m.RCode = dnsmessage.RCodeNameError
	case name.Fails:
		m.RCode = dnsmessage.RCodeServerFailure
	default:
		m.Answers = name.records(q)
	}
	packed, err := m.Pack()
	if err != nil {
		return nil
	}
	return packed
}

func (n Name) records(q dnsmessage.Question) []dnsmessage.Resource {
	var all []dnsmessage.Resource
	add := func(kind dnsmessage.Type, body dnsmessage.ResourceBody) {
		header := dnsmessage.ResourceHeader{Name: q.Name, Type: kind, Class: dnsmessage.ClassINET, TTL: 1}
		if kind == q.Type {
			all = append(all, dnsmessage.Resource{Header: header, Body: body})
		}
	}
	for i, host := range n.MX {
		add(dnsmessage.TypeMX, &dnsmessage.MXResource{Pref: uint16(i), MX: dnsmessage.MustNewName(host)})
	}
	for _, text := range n.Addresses {
		if a := netip.MustParseAddr(text); a.Is4() {
			add(dnsmessage.TypeA, &dnsmessage.AResource{A: a.As4()})
		} else {
			add(dnsmessage.TypeAAAA, &dnsmessage.AAAAResource{AAAA: a.As16()})
		}
	}
	return all
}
