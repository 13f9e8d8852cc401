package host

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
)

// maxLine is the longest line of a plug-in that is kept, in bytes.
const maxLine = 16 << 10

// handshakeLine is what go-plugin waits for. It may follow other text on its line.
var handshakeLine = regexp.MustCompile(`1\|[0-9]+\|(unix|tcp)\|[^|\s]+\|[a-z]+(\|[A-Za-z0-9+/=]*)?(\|true|\|false)?\s*$`)

// stdout lets the line of the handshake through to go-plugin, and nothing else: what a plug-in prints beside it is
// counted and thrown away. It never blocks the plug-in.
type stdout struct {
	lines
	line  io.WriteCloser
	found bool
	noise atomic.Int64 // bytes beside the handshake
}

func newStdout(line io.WriteCloser) *stdout {
	s := &stdout{line: line}
	s.each = s.look
	return s
}

func (s *stdout) look(text []byte) {
	match := handshakeLine.Find(text)
	if s.found || match == nil {
		s.noise.Add(int64(len(text)) + 1)
		return
	}
	s.found = true
	s.noise.Add(int64(len(text) - len(match)))
	line := append(bytes.Clone(bytes.TrimSpace(match)), '\n') // the buffer is used again
	go func() {                                               // go-plugin reads when it is ready to
		_, _ = s.line.Write(line) // an error means that nobody waits any more
		_ = s.line.Close()
	}()
}

// lines cuts what is written into lines, of which only the beginning is kept when they are long.
type lines struct {
	each func(line []byte)
	mu   sync.Mutex
	rest []byte
	last string // that was no handshake, for who asks why it ended
}

// lastLine is the last line that was not empty, shortened; what is not yet a whole line counts too.
func (l *lines) lastLine() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if rest := strings.TrimSpace(string(l.rest)); rest != "" {
		return clip(rest)
	}
	return l.last
}

// Write implements io.Writer. It never fails.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for rest := p; len(rest) > 0; {
		line, after, whole := bytes.Cut(rest, []byte("\n"))
		l.rest = append(l.rest, line[:min(len(line), maxLine-len(l.rest))]...)
		if whole {
			l.each(l.rest)
			if text := strings.TrimSpace(string(l.rest)); text != "" {
				l.last = clip(text)
			}
			l.rest = l.rest[:0]
		}
		rest = after
	}
	return len(p), nil
}

// newStderr writes what a plug-in says to log, a line at a time: as JSON with level and msg, or as text.
func newStderr(log *slog.Logger) *lines {
	return &lines{each: func(line []byte) {
		text := strings.TrimSpace(string(line))
		if text == "" {
			return
		}
		level, message, attrs := understand(text)
		log.LogAttrs(context.Background(), level, "plug-in: "+message, attrs...)
	}}
}

// understand takes a line apart that package slog has written; any other is a message of its own.
func understand(text string) (slog.Level, string, []slog.Attr) {
	fields := map[string]any{}
	message, level := text, slog.LevelInfo
	if json.Unmarshal([]byte(text), &fields) != nil {
		return level, message, nil
	}
	said, ok := fields["msg"].(string)
	if !ok {
		return level, message, nil
	}
	word, _ := fields["level"].(string) // without one it is information
	_ = level.UnmarshalText([]byte(word))
	var attrs []slog.Attr
	for name, value := range fields {
		if name != "msg" && name != "level" && name != "time" {
			attrs = append(attrs, slog.Any(name, value))
		}
	}
	return level, said, attrs
}
