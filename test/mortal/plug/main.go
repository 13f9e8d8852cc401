// Command plug is a plug-in that tells a test what it does, before the host hears of it, and is killed by that test. Its
// name says of which kind it is. It finds one virus of its own invention, and keeps nothing.
package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/ceralacca/ceralacca/plugins"
)

func main() {
	about := plugins.About{Name: "mortal", Version: "1", Schema: `{"type":"object","additionalProperties":false,
		"required":["tell"],"properties":{"tell":{"type":"string"}}}`}
	switch filepath.Base(os.Args[0]) {
	case "antivirus":
		plugins.Serve(plugins.Antivirus{About: about,
			Open: func(_ context.Context, s plugins.Setup) (plugins.Scanner, error) { return open(s) }})
	case "conservation":
		plugins.Serve(plugins.Conservation{About: about,
			Open: func(_ context.Context, s plugins.Setup) (plugins.Depositor, error) { return open(s) }})
	case "notification":
		plugins.Serve(plugins.Notification{About: about,
			Open: func(_ context.Context, s plugins.Setup) (plugins.Notifier, error) { return open(s) }})
	}
}

// mortal writes a line to the test at the begin of each call, and another just before its answer.
type mortal struct{ test net.Conn }

func open(s plugins.Setup) (*mortal, error) {
	var config struct{ Tell string }
	if err := s.Decode(&config); err != nil {
		return nil, err
	}
	conn, err := net.Dial("unix", config.Tell)
	return &mortal{conn}, err
}

func (m *mortal) tell(format string, args ...any) error {
	_, err := fmt.Fprintf(m.test, format+"\n", args...)
	return err
}

// work takes as long as an engine might, and reads all there is.
func (m *mortal) work(content io.Reader) (sum []byte, head string, err error) {
	if err := m.tell("begin"); err != nil {
		return nil, "", err
	}
	digest, beginning := sha256.New(), make([]byte, 4096)
	if content != nil {
		n, err := io.ReadFull(content, beginning)
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
			return nil, "", err
		}
		head = string(beginning[:n])
		digest.Write(beginning[:n])
		if _, err := io.Copy(digest, content); err != nil {
			return nil, "", err
		}
	}
	time.Sleep(10*time.Millisecond + rand.N(40*time.Millisecond))
	return digest.Sum(nil), head, nil
}
