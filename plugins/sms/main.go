// Command sms is a notification plug-in: it tells the holders of mailboxes, by an SMS gateway over HTTP, by the spool of
// smstools and by ordinary mail, that certified messages lie there, that a mailbox is getting full, or will before long.
//
// It does not see messages, certifies nothing, and no mail waits for it. Its commands for the hand and for Dovecot's
// quota_warning hand over to the running plug-in through a folder and send nothing themselves.
package main

import (
	"context"
	_ "embed"
	"os"
	"sync/atomic"
	"time"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/plugins"
)

// schema describes the configuration.
//
//go:embed schema.json
var schema string

// defaultTexts are the templates of who writes none, in Italian.
//
//go:embed texts.json
var defaultTexts []byte

const version = "1.0.0"

// endTime is how long a process that is asked to end waits for what it is sending. The host waits two seconds.
const endTime = 1500 * time.Millisecond

func main() {
	if len(os.Args) > 1 && os.Args[1] != plugins.DescribeArgument {
		os.Exit(command{clock: clock.System{}, in: os.Stdin, out: os.Stdout, errors: os.Stderr}.run(os.Args[1:]))
	}
	var running atomic.Pointer[engine]
	plugins.Serve(plugin(&running))
	if e := running.Load(); e != nil {
		e.stop(endTime)
	}
}

// plugin is what the host gets; running is set to what it opens.
func plugin(running *atomic.Pointer[engine]) plugins.Notification {
	return plugins.Notification{
		About: plugins.About{Name: "sms", Version: version, Schema: schema},
		Open: func(_ context.Context, setup plugins.Setup) (plugins.Notifier, error) {
			var s settings
			if err := setup.Decode(&s); err != nil {
				return nil, err
			}
			c, err := s.config()
			if err != nil {
				return nil, err
			}
			e, err := open(c, clock.System{}, setup.Log)
			if err != nil {
				return nil, err
			}
			running.Store(e)
			go e.run(context.Background()) // until stop, or as long as the process
			return e, nil
		},
	}
}
