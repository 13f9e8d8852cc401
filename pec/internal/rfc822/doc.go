// Package rfc822 reads and writes the lexical forms of mail: folded lines, encoded words, address lists,
// multiparts. It is tolerant of what real mailers write and its time is linear in what it reads. It knows nothing of
// certified mail and does not judge what is an address.
package rfc822
