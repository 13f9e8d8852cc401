// Command clamav is an antivirus that asks ClamAV's daemon, clamd. It hands clamd the bytes of each message over a unix
// socket or TCP, several clamd in turn, and makes a verdict of the answer: what clamd did not read as a whole is never
// clean.
//
// It does not start clamd, does not fetch signatures (that is freshclam's), and decides nothing about a message.
package main

import (
	"context"
	_ "embed"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/plugins"
)

// schema describes the configuration.
//
//go:embed schema.json
var schema string

const version = "1.0.0"

func main() { plugins.Serve(plugin()) }

func plugin() plugins.Antivirus {
	return plugins.Antivirus{
		About: plugins.About{Name: "clamav", Version: version, Schema: schema},
		// A file can be read again: when a clamd dies in the middle the next one gets the whole.
		Files: true,
		Open: func(ctx context.Context, setup plugins.Setup) (plugins.Scanner, error) {
			var s settings
			if err := setup.Decode(&s); err != nil {
				return nil, err
			}
			c, err := s.config()
			if err != nil {
				return nil, err
			}
			return open(ctx, c, setup.Log, clock.System{})
		},
	}
}
