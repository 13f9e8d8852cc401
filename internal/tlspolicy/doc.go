// Package tlspolicy tells Postfix, as a table of the type socketmap, how each next hop must be spoken to: with the providers
// of the directory never without TLS. It opens no connection to anybody, and judges no certificate: Postfix does.
package tlspolicy
