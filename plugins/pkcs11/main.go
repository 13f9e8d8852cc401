//go:build cgo

// Command pkcs11 signs with keys in a hardware module, by the PKCS#11 library of its maker: the private key never leaves
// the device. [C225]
//
// It holds a session open, opens another when token or module was lost, and never signs with a key that does not belong
// to its certificate. It makes no keys, imports no certificates and changes no PIN.
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

func plugin() plugins.Key {
	return plugins.Key{
		About: plugins.About{Name: "pkcs11", Version: version, Schema: schema},
		Open: func(_ context.Context, setup plugins.Setup) (plugins.KeyHolder, error) {
			var s settings
			if err := setup.Decode(&s); err != nil {
				return nil, err
			}
			c, err := s.config()
			if err != nil {
				return nil, err
			}
			return open(c, setup.Log, clock.System{})
		},
	}
}
