package pec

// Artefact is a message of the system, composed and not yet signed. It is immutable.
type Artefact struct {
	Kind Kind
	// Header is complete and ready to write: its Content-Type is multipart/signed with Boundary.
	Header Header
	// Boundary is that of the multipart/signed, without the leading hyphens.
	Boundary string
	// Content is the signed entity, a multipart/mixed with its own MIME header, in pieces to be concatenated. All of
	// it is signed, byte for byte, and it ends with the CRLF after the last boundary of the multipart/mixed: the
	// signer follows it with CRLF, "--" and Boundary, and that CRLF is not signed (RFC 2046, 5.1.1).
	Content []Source
}
