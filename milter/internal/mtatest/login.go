package mtatest

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
)

// startLogin serves the authentication protocol of Dovecot and lets everybody in.
func startLogin(t testing.TB, path string) {
	t.Helper()
	l := listen(t, path)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go login(c)
		}
	}()
}

func listen(t testing.TB, path string) net.Listener {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	return l
}

func login(c net.Conn) {
	defer func() { _ = c.Close() }()
	_, _ = fmt.Fprintf(c, "VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t1\nCOOKIE\t00\nDONE\n")
	lines := bufio.NewScanner(c)
	for lines.Scan() {
		words := strings.Split(lines.Text(), "\t")
		if words[0] != "AUTH" || len(words) < 3 {
			continue
		}
		secret, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(words[len(words)-1], "resp="))
		part := strings.Split(string(secret), "\x00")
		if err != nil || len(part) != 3 {
			_, _ = fmt.Fprintf(c, "FAIL\t%s\n", words[1])
			continue
		}
		_, _ = fmt.Fprintf(c, "OK\t%s\tuser=%s\n", words[1], part[1])
	}
}
