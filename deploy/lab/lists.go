package lab

import (
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"
)

// serveLists serves CRL over HTTP, in DER as RFC 5280 asks. Each request reads the file again; where there is none the answer
// is 404, so that who moves it away plays a server that fails.
func (l *Lab) serveLists() error {
	listener, err := net.Listen("tcp", hostPort(l.Gamma.Address, 0))
	if err != nil {
		return err
	}
	l.CRLURL = fmt.Sprintf("http://%s/ca.crl", listener.Addr())
	l.lists = &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := os.ReadFile(l.CRL)
		block, _ := pem.Decode(text)
		if err != nil || block == nil {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/pkix-crl")
		_, _ = w.Write(block.Bytes) // who does not read it notices
	})}
	go func() { _ = l.lists.Serve(listener) }() // ends with Close
	return nil
}
