package lda

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/emersion/go-smtp"

	"github.com/ceralacca/ceralacca/internal/config"
)

// door is a listener with its server.
type door struct {
	listener *listener
	server   *smtp.Server
}

// Serve opens the two sockets and works until ctx ends; then it takes no new message, ends what is in hand (for a
// minute at most) and returns nil. Before its first answer everything it needs is open; an error while opening is
// returned at once.
func (a *Agent) Serve(ctx context.Context) error {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	doors, err := a.doors(work)
	if err != nil {
		return err
	}
	var running sync.WaitGroup
	failed := make(chan error, len(doors))
	for _, d := range doors {
		running.Go(func() {
			if err := d.server.Serve(d.listener); err != nil && ctx.Err() == nil {
				failed <- fmt.Errorf("lda: %w", err)
			}
		})
	}
	retries, stopRetries := context.WithCancel(ctx)
	defer stopRetries()
	running.Go(func() { a.retry(retries) })
	running.Go(func() { a.retire(retries) })
	running.Go(func() { a.watch(retries) })
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	stopRetries()
	a.shut(doors, cancel)
	running.Wait()
	a.toDovecot.end()
	a.toOut.end()
	return err
}

func (a *Agent) doors(work context.Context) ([]door, error) {
	c := a.live.Load().config
	var doors []door
	for _, one := range []struct {
		at      config.Endpoint
		dsnOnly bool
	}{{c.Agent.LMTPSocket, false}, {c.Agent.DSNSocket, true}} {
		l, err := listen(work, one.at, one.dsnOnly)
		if err != nil {
			for _, d := range doors {
				err = errors.Join(err, d.listener.Close())
			}
			return nil, err
		}
		doors = append(doors, door{l, newServer(a, c.Provider.Address.Domain())})
	}
	return doors, nil
}

// shut closes the doors: idle connections at once, those with a message in hand when they have answered, or after the
// grace, which cancels their work before its next effect.
func (a *Agent) shut(doors []door, cancel context.CancelFunc) {
	patience, end := context.WithTimeout(context.Background(), grace)
	defer end()
	var ending sync.WaitGroup
	for _, d := range doors {
		ending.Go(func() {
			d.listener.end()
			if err := d.server.Shutdown(patience); err != nil && !errors.Is(err, smtp.ErrServerClosed) {
				a.o.Log.Warn("not all ended in time", "error", err)
				cancel()
				_ = d.server.Close() // what is left is cancelled; Postfix presents it again
			}
			_ = d.listener.Close() // closed above, unless the server has not yet begun and does not know of it
		})
	}
	ending.Wait()
}
