// Package mailbox asks the mail system of this host about mailboxes: Dovecot whether an address has one and whether it
// takes mail, Postfix's alias maps what an address stands for, and Dovecot again whether a mailbox holds a message
// already. Of the daemons it is the only importer of the IMAP library.
//
// It delivers nothing and changes nothing. It remembers alias maps that are files, until they change.
package mailbox
