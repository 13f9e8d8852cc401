package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	milter "github.com/emersion/go-milter"
)

// The commands that the connection looks at; the library has the others.
const (
	cmdNegotiate = byte(milter.CodeOptNeg)
	cmdMacro     = byte(milter.CodeMacro)
	cmdMail      = byte(milter.CodeMail)
	cmdRcpt      = byte(milter.CodeRcpt)
	cmdHeader    = byte(milter.CodeHeader)
	cmdEndHeader = byte(milter.CodeEOH)
	cmdBody      = byte(milter.CodeBody)
	cmdEnd       = byte(milter.CodeEOB)
	cmdAbort     = byte(milter.CodeAbort)
	cmdQuit      = byte(milter.CodeQuit)
	cmdQuitNew   = byte(milter.CodeQuitNewConn)
)

const (
	version = 6
	// maxPacket is what we read at most, in bytes. Postfix sends bodies in pieces of 65,535 and cuts header fields at
	// 60,000.
	maxPacket = 1 << 20
	// maxPiece is what Postfix takes at most as one piece of a new body, in bytes.
	maxPiece = milter.MaxBodyChunk
)

// actions and steps are what we ask for in the negotiation; Postfix MUST offer all of it.
const (
	actions = milter.OptAddHeader | milter.OptChangeHeader | milter.OptChangeBody | milter.OptAddRcpt |
		milter.OptRemoveRcpt | milter.OptChangeFrom | milter.OptSetSymList
	steps = milter.OptNoConnect | milter.OptNoHelo | milter.OptNoUnknown | milter.OptNoData |
		milter.OptNoHeaderReply | milter.OptNoEOHReply | milter.OptNoBodyReply | milter.OptHeaderLeadingSpace
)

var errMalformed = errors.New("malformed milter packet")

// checkOffer looks at the negotiation packet of the MTA: without version 6 and all that we ask for no message can be
// certified.
func checkOffer(b []byte) error {
	if len(b) < 12 {
		return fmt.Errorf("%w: negotiation", errMalformed)
	}
	v, a, p := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])
	if v < version || a&uint32(actions) != uint32(actions) || p&uint32(steps) != uint32(steps) {
		return fmt.Errorf("the MTA offers milter version %d, actions %#x, protocol %#x; need %d, %#x, %#x",
			v, a, p, version, uint32(actions), uint32(steps))
	}
	return nil
}

// cstring splits b after its first NUL.
func cstring(b []byte) (s, rest []byte, ok bool) {
	return bytes.Cut(b, []byte{0})
}

// parseMacros returns the command for which macros are meant, and the macros.
func parseMacros(b []byte) (command byte, m Macros, err error) {
	if len(b) == 0 {
		return 0, nil, fmt.Errorf("%w: macros", errMalformed)
	}
	command, b = b[0], b[1:]
	m = Macros{}
	for len(b) > 0 {
		name, rest, ok := cstring(b)
		if !ok {
			return 0, nil, fmt.Errorf("%w: macros", errMalformed)
		}
		value, rest, ok := cstring(rest)
		if !ok {
			return 0, nil, fmt.Errorf("%w: macros", errMalformed)
		}
		m[string(name)] = string(value)
		b = rest
	}
	return command, m, nil
}

// parsePath returns the address of a MAIL or RCPT command, without the angle brackets round it, and its parameters.
func parsePath(b []byte) (addr string, params []string, err error) {
	path, b, ok := cstring(b)
	if !ok {
		return "", nil, fmt.Errorf("%w: path", errMalformed)
	}
	if n := len(path); n >= 2 && path[0] == '<' && path[n-1] == '>' {
		path = path[1 : n-1]
	}
	for len(b) > 0 {
		param, rest, ok := cstring(b)
		if !ok {
			return "", nil, fmt.Errorf("%w: parameter", errMalformed)
		}
		params = append(params, string(param))
		b = rest
	}
	return string(path), params, nil
}

// parseHeader returns a header field. The value shares memory with b; its lines end with LF alone.
func parseHeader(b []byte) (name string, value []byte, err error) {
	n, b, ok := cstring(b)
	if !ok {
		return "", nil, fmt.Errorf("%w: header", errMalformed)
	}
	value, _, ok = cstring(b)
	if !ok {
		return "", nil, fmt.Errorf("%w: header", errMalformed)
	}
	return string(n), value, nil
}
