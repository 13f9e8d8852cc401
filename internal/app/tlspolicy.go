package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"

	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/internal/directory"
	"github.com/ceralacca/ceralacca/internal/metrics"
	"github.com/ceralacca/ceralacca/internal/socket"
	"github.com/ceralacca/ceralacca/internal/tlspolicy"
	"github.com/ceralacca/ceralacca/pec"
)

// certified says of a version of the directory which domains are certified.
type certified struct {
	directory interface {
		ByDomain(domain string) (*pec.ProviderRecord, bool)
	}
}

// Certifies implements tlspolicy.Directory.
func (c certified) Certifies(domain string) bool {
	_, found := c.directory.ByDomain(domain)
	return found
}

func tlsRules(c *config.Config) tlspolicy.Rules {
	return tlspolicy.Rules{Stricter: c.Network.TLSPolicy, Ordinary: c.Network.OrdinaryHops}
}

// tlsPolicy answers Postfix from the directory in use, so that a provider is spoken to by TLS from the moment on in which it
// is known to be one, without a file that somebody would have to write and Postfix to read. [C228] [C230]
func (w *agentWorld) tlsPolicy(hop string) (string, bool, error) {
	p := w.parts.Load()
	current := p.directory.Current()
	if current == nil {
		return "", false, errors.New("there is no directory of providers")
	}
	policy, ok := tlsRules(p.config).Of(hop, certified{current})
	return policy, ok, nil
}

// openTLSPolicy opens the socket that Postfix asks at, if there is one, and returns what serves it.
func (w *agentWorld) openTLSPolicy(ctx context.Context, c *config.Config) (func() error, error) {
	at := c.Network.TLSPolicySocket.Address
	if at == "" {
		w.deps.Log.Warn("network.tls_policy_socket is not set: the directory does not tell the outbound Postfix instance with whom to use TLS",
			slog.String("see", "deploy/postfix/README.md"))
		return nil, nil
	}
	l, err := socket.Listen("unix", at)
	if err != nil {
		return nil, err
	}
	return func() error { return tlspolicy.Serve(ctx, l, w.tlsPolicy, w.tlsPolicyPanic) }, nil
}

// tlsPolicyPanic raises the alarm about what must not end the agent.
func (w *agentWorld) tlsPolicyPanic(cause any) {
	w.metrics.Count(metrics.Panics, "tls-policy")
	w.deps.Log.Error("panic", "alarm", true, "cause", fmt.Sprint(cause), "stack", string(debug.Stack()))
}

// TLSPolicyTable is what Postfix is told of every domain of the directory in use; when the agent has kept none, of that which
// a configuration names. It is for a command: as root it looks at secrets as the user of the daemons.
func TLSPolicyTable(ctx context.Context, c *config.Config, d Deps) (table string, err error) {
	var current *directory.Snapshot
	err = asDaemon(c, func() (err error) {
		current, err = inUseOrPublished(ctx, c, d)
		return err
	})
	if err != nil {
		return "", err
	}
	var domains []string
	for _, r := range current.Providers() {
		domains = append(domains, r.Domains...)
	}
	return tlsRules(c).Table(domains, certified{current}), nil
}
