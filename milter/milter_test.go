package milter

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ceralacca/ceralacca/internal/config"
)

func TestOptionsMustBeThere(t *testing.T) {
	w := newWorld(t)
	m, err := New(w.options)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Options){
		"config":    func(o *Options) { o.Config = nil },
		"directory": func(o *Options) { o.Directory = nil },
		"verifier":  func(o *Options) { o.Verifier = nil },
		"key":       func(o *Options) { o.Key = nil },
		"mailboxes": func(o *Options) { o.Mailboxes = nil },
		"clock":     func(o *Options) { o.Clock = nil },
		"random":    func(o *Options) { o.Random = nil },
		"log":       func(o *Options) { o.Log = nil },
	} {
		o := w.options
		change(&o)
		if _, err := New(o); err == nil {
			t.Errorf("New without %s: no error", name)
		}
		if m.Reload(o) == nil || m.options.Load().Config == nil {
			t.Errorf("Reload without %s: it took the options", name)
		}
	}
}

func TestServeNeedsItsSockets(t *testing.T) {
	w := newWorld(t)
	taken, err := net.Listen("unix", filepath.Join(w.dir, "in"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	m := must(New(w.options))
	if err := m.Serve(context.Background()); err == nil || !strings.Contains(err.Error(), "another process serves it") {
		t.Errorf("Serve beside another process: %v", err)
	}
	if c, err := net.Dial("unix", filepath.Join(w.dir, "sub")); err == nil {
		_ = c.Close()
		t.Error("the other socket is still served")
	}
}

// One point alone is a deployment: the other's path is empty.
func TestServeOnePoint(t *testing.T) {
	w := newWorld(t)
	w.options.Config.Milter.IncomingSocket = config.Endpoint{}
	m := must(New(w.options))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.Serve(ctx) }()
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Serve: %v", err)
	}
}
