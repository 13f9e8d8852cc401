package lab

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/ceralacca/ceralacca/internal/clock"
)

// network hands out addresses and ports that no other lab has.
type network struct {
	a, b byte
	next byte
}

// newNetwork picks a part of 127.0.0.0/8 at random: labs run side by side, and one
// that chose the same would still find other ports free.
func newNetwork() *network {
	var r [2]byte
	_, _ = rand.Read(r[:]) // never fails: the runtime ends the process instead
	return &network{a: 16 + r[0]%200, b: r[1], next: 10}
}

// address is an IPv4 loopback address of a new host.
func (n *network) address() string {
	n.next += 10
	return net.IPv4(127, n.a, n.b, n.next).String()
}

// ports finds free ports above 1024 on an address. They are all held until the
// last is found, so that they differ.
func ports(address string, into ...*int) error {
	for _, p := range into {
		l, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
		if err != nil {
			return fmt.Errorf("find a free port: %w", err)
		}
		defer l.Close()
		*p = l.Addr().(*net.TCPAddr).Port
	}
	return nil
}

func hostPort(address string, port int) string {
	return net.JoinHostPort(address, strconv.Itoa(port))
}

// answers waits until something accepts connections there.
func answers(ctx context.Context, network, address string) error {
	var last error
	for {
		conn, err := net.DialTimeout(network, address, time.Second)
		if err == nil {
			_ = conn.Close() // it answered; nothing was written
			return nil
		}
		last = err
		if clock.System.Sleep(clock.System{}, ctx, 20*time.Millisecond) != nil {
			return fmt.Errorf("%s does not answer: %w", address, last)
		}
	}
}
