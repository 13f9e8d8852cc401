package tlspolicy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
)

// Map is the name by which Postfix asks: socketmap:unix:PATH:tls-policy.
const Map = "tls-policy"

// maxRequest is far more than a next hop has, in bytes.
const maxRequest = 4096

// Lookup answers for a next hop. An error is temporary to Postfix: the mail waits.
type Lookup func(hop string) (policy string, ok bool, err error)

// Serve answers Postfix on l until ctx ends, and then closes it and returns nil. Postfix keeps its connections; they end
// with ctx too. A panic of look is temporary to Postfix too, and is handed to caught.
func Serve(ctx context.Context, l net.Listener, look Lookup, caught func(cause any)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = l.Close() }) // Accept then says so
	defer stop()
	var running sync.WaitGroup
	defer running.Wait()
	for {
		c, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			cancel()
			return fmt.Errorf("tlspolicy: %w", err)
		}
		running.Go(func() {
			end := context.AfterFunc(ctx, func() { _ = c.Close() }) // what reads or writes then says so
			defer end()
			defer c.Close() // every answer was flushed
			_ = converse(c, guarded(look, caught))
		})
	}
}

// guarded makes a temporary error of a panic.
func guarded(look Lookup, caught func(cause any)) Lookup {
	return func(hop string) (policy string, ok bool, err error) {
		defer func() {
			if cause := recover(); cause != nil {
				caught(cause)
				err = errors.New("the agent failed")
			}
		}()
		return look(hop)
	}
}

// converse answers until the peer goes or says what it should not; its mail then waits, and it asks anew.
func converse(c io.ReadWriter, look Lookup) error {
	in := bufio.NewReader(c)
	for {
		request, err := readNetstring(in)
		if err != nil {
			return err
		}
		if _, err := io.WriteString(c, netstring(answer(request, look))); err != nil {
			return err
		}
	}
}

// answer is what socketmap_table(5) has.
func answer(request string, look Lookup) string {
	name, hop, _ := strings.Cut(request, " ")
	if name != Map {
		return "PERM there is no table of this name"
	}
	policy, ok, err := look(hop)
	switch {
	case err != nil:
		return "TEMP " + strings.ReplaceAll(err.Error(), "\n", "; ")
	case !ok:
		return "NOTFOUND "
	}
	return "OK " + policy
}

func netstring(s string) string { return strconv.Itoa(len(s)) + ":" + s + "," }

var errNetstring = errors.New("tlspolicy: not a netstring")

// readNetstring reads LENGTH:TEXT, as Postfix writes it.
func readNetstring(in *bufio.Reader) (string, error) {
	length := 0
	for digits := 0; ; digits++ {
		c, err := in.ReadByte()
		if err != nil {
			return "", err
		}
		if c == ':' && digits > 0 {
			break
		}
		if c < '0' || c > '9' || digits > 4 {
			return "", errNetstring
		}
		length = length*10 + int(c-'0')
	}
	if length > maxRequest {
		return "", errNetstring
	}
	text := make([]byte, length+1)
	if _, err := io.ReadFull(in, text); err != nil {
		return "", err
	}
	if text[length] != ',' {
		return "", errNetstring
	}
	return string(text[:length]), nil
}
