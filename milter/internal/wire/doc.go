// Package wire speaks the milter protocol with Postfix: github.com/emersion/go-milter is the engine, and a connection
// that watches the packets adds what its version 0.5.0 lacks: version 6, the parameters of MAIL and RCPT, exact header
// values, bodies without an allocation or a reply per packet, edits without limits of size, progress, deadlines and an
// orderly end.
//
// It knows nothing of certified mail, keeps nothing of a message and decides nothing: that is the [Handler]'s.
package wire
