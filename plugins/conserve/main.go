package main

import (
	"context"
	_ "embed"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/plugins"
)

// schema describes the configuration.
//
//go:embed schema.json
var schema string

const version = "1.0.0"

func main() {
	if os.Getenv(plugins.HandshakeKey) != plugins.HandshakeValue && (len(os.Args) < 2 || os.Args[1] != plugins.DescribeArgument) {
		os.Exit(command{out: os.Stdout, err: os.Stderr}.run(context.Background(), os.Args[1:]))
	}
	plugins.Serve(plugin())
}

func plugin() plugins.Conservation {
	return plugins.Conservation{
		About: plugins.About{Name: "conserve", Version: version, Schema: schema},
		Open: func(ctx context.Context, setup plugins.Setup) (plugins.Depositor, error) {
			var s settings
			if err := setup.Decode(&s); err != nil {
				return nil, err
			}
			if err := s.check(); err != nil {
				return nil, err
			}
			d, err := open(s, setup.Log)
			if err != nil {
				return nil, err
			}
			go d.follow(context.WithoutCancel(ctx))
			go d.work(context.WithoutCancel(ctx)) // until the process ends, which may be at any instant
			return d, nil
		},
	}
}

// work makes packages once no other process does: while a configuration is exchanged the old plug-in runs beside the new.
func (d *depositor) work(ctx context.Context) {
	for {
		release, err := lock(filepath.Join(d.settings.Folder, "lock"))
		if err == nil {
			defer release()
			if err := d.count(); err != nil { // the other process may have taken deposits
				d.log.Error("the space of the mailboxes cannot be counted", "error", err)
			}
			d.keeper.Run(ctx, rand.Float64)
			return
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			d.log.Error("no packages are made", "error", err)
		}
		if (clock.System{}).Sleep(ctx, time.Second) != nil {
			return
		}
	}
}

// count reads from disk what each mailbox has.
func (d *depositor) count() error {
	if err := d.space.reload(); err != nil || d.archive == nil {
		return err
	}
	return d.archive.count()
}

// lock takes the lock of the state, which goes with the process.
func lock(path string) (release func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return func() { _ = file.Close() }, nil
}
