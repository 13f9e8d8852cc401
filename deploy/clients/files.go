// Package clients carries samples by which mail programs find the servers of a certified domain: autoconfiguration of
// Thunderbird, SRV records, a profile for Apple's devices. It runs nothing and fills in no placeholder.
package clients

import "embed"

// Files holds the samples with placeholders of the form @NAME@, which docs/clients.md explains. It is read-only. [C246]
//
//go:embed config-v1.1.xml srv.zone apple.mobileconfig
var Files embed.FS
