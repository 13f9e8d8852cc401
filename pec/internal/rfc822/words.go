package rfc822

import (
	"encoding/base64"
	"mime"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding/htmlindex"
)

// encodedWord is =?charset?encoding?text?= (RFC 2047). QUIRK: spaces within the text are accepted, as mailers do.
var encodedWord = regexp.MustCompile(`=\?([!-+\--<>@-~]+)\?([bBqQ])\?([^?\r\n]*)\?=`)

// Decode turns a raw header value into one line of UTF-8: unfolded, its encoded words (RFC 2047) decoded, control
// characters replaced by spaces, space around it removed. What cannot be decoded stays as it is; bytes beyond ASCII
// that are no UTF-8 are read as Windows-1252.
//
// QUIRK: a character may be split between two encoded words, and words may touch other text.
func Decode(raw string) string {
	text := Unfold(raw)
	if !utf8.ValidString(text) {
		text = decodeCharset("windows-1252", text)
	}
	if strings.Contains(text, "=?") {
		text = decodeWords(text)
	}
	return strings.TrimSpace(OneLine(text))
}

var lineEnds = strings.NewReplacer("\r", "", "\n", "")

// Unfold takes the line ends of folding out, and space around the value. What remains is one line.
func Unfold(value string) string {
	return strings.TrimSpace(lineEnds.Replace(value))
}

// OneLine makes control and line-breaking characters spaces, and U+FFFD of invalid bytes and of the two characters that
// XML cannot hold: what we write says the same in a header, a text and certification data.
func OneLine(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsControl(r) || r == '\u2028' || r == '\u2029':
			return ' '
		case r == '\uFFFE' || r == '\uFFFF':
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

// decodeWords decodes runs of encoded words; words of a run are in one charset with only space between them, and their
// bytes are joined before they are decoded.
func decodeWords(text string) string {
	var out, run strings.Builder
	charset, rest := "", 0
	flush := func() {
		out.WriteString(decodeCharset(charset, run.String()))
		run.Reset()
		charset = ""
	}
	for _, m := range encodedWord.FindAllStringSubmatchIndex(text, -1) {
		word, gap := text[m[0]:m[1]], text[rest:m[0]]
		set, _, _ := strings.Cut(strings.ToLower(text[m[2]:m[3]]), "*") // a language may follow (RFC 2231)
		content, ok := decodeWord(text[m[4]:m[5]], text[m[6]:m[7]])
		ok = ok && known(set)
		if adjacent := charset != "" && strings.TrimSpace(gap) == ""; !ok || !adjacent || set != charset {
			wasRun := charset != ""
			flush()
			if !ok || !wasRun || !adjacent {
				out.WriteString(gap)
			}
		}
		if rest = m[1]; !ok {
			out.WriteString(word)
			continue
		}
		charset = set
		run.WriteString(content)
	}
	flush()
	out.WriteString(text[rest:])
	return out.String()
}

func decodeWord(encoding, text string) (string, bool) {
	if encoding == "Q" || encoding == "q" {
		return decodeQ(text), true
	}
	b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "= "))
	return string(b), err == nil
}

// decodeQ leaves what is no code as it is.
func decodeQ(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '_':
			b.WriteByte(' ')
		case c == '=' && i+2 < len(text) && isHex(text[i+1]) && isHex(text[i+2]):
			b.WriteByte(unhex(text[i+1])<<4 | unhex(text[i+2]))
			i += 2
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

func isAlnum(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}

func known(charset string) bool {
	_, err := htmlindex.Get(charset)
	return err == nil
}

// decodeCharset makes UTF-8 of b; the charset is known.
func decodeCharset(charset, b string) string {
	if b == "" || charset == "utf-8" {
		return b
	}
	encoding, err := htmlindex.Get(charset)
	if err != nil {
		return b
	}
	text, err := encoding.NewDecoder().String(b)
	if err != nil {
		return b
	}
	return text
}

// MaxLine is how long lines of a header with encoded words may be (RFC 2047, 2); such a word fits into one with its
// space.
const (
	MaxLine = 76
	maxWord = 75
)

// EncodeSubject makes the value of a Subject field, without the space after the colon and without the last CRLF: the
// prefix in clear, text as encoded words in UTF-8 unless it is plain ASCII, folded. The prefix is ASCII and ends in a
// space. No text injects a line. Decode gives prefix and text back, but for control characters and outer space.
func EncodeSubject(prefix, text string) string {
	text = strings.TrimSpace(OneLine(text))
	words := strings.SplitAfter(text, " ")
	if strings.Contains(text, strings.Repeat(" ", MaxLine)) || !plain(words) {
		words = encodeWords(text)
	}
	return foldWords("Subject: ", append(strings.SplitAfter(prefix, " "), words...))
}

// plain says whether words can stand in a header as they are.
func plain(words []string) bool {
	for _, w := range words {
		if len(w) > MaxLine || strings.Contains(w, "=?") || strings.ContainsFunc(w, func(r rune) bool { return r >= 0x7f }) {
			return false
		}
	}
	return true
}

// encodeWords cuts text into encoded words between characters, each with a space after it: Q where most is ASCII, to
// be readable as it is, B otherwise.
func encodeWords(text string) []string {
	encoder := mime.QEncoding
	if foreign := len(text) - strings.Count(text, " "); 3*beyondASCII(text) > foreign {
		encoder = mime.BEncoding
	}
	var words []string
	start, size := 0, 0
	for i, r := range text {
		n := encodedSize(encoder, r)
		if size+n > maxWord-len("=?UTF-8?Q??=") {
			words = append(words, encode(encoder, text[start:i])+" ")
			start, size = i, 0
		}
		size += n
	}
	return append(words, encode(encoder, text[start:]))
}

func beyondASCII(text string) (n int) {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			n++
		}
	}
	return n
}

// encodedSize is at least the length of r once encoded; base64 makes 4 of 3 bytes, and here 3 of 2.
func encodedSize(e mime.WordEncoder, r rune) int {
	n := utf8.RuneLen(r)
	if e == mime.BEncoding {
		return (3*n + 1) / 2
	}
	if n == 1 && (isAlnum(byte(r)) || r == ' ') {
		return 1
	}
	return 3 * n
}

func encode(e mime.WordEncoder, s string) string {
	if e == mime.BEncoding {
		return "=?UTF-8?B?" + base64.StdEncoding.EncodeToString([]byte(s)) + "?="
	}
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	b.WriteString("=?UTF-8?Q?")
	for i := range len(s) {
		switch c := s[i]; {
		case c == ' ':
			b.WriteByte('_')
		case isAlnum(c):
			b.WriteByte(c)
		default:
			b.Write([]byte{'=', digits[c>>4], digits[c&15]})
		}
	}
	return b.String() + "?="
}

// foldWords joins words that carry their own spaces, and begins a new line before the space that precedes a word which
// does not fit; lead already stands on the first line.
func foldWords(lead string, words []string) string {
	var b strings.Builder
	column, gap := len(lead), ""
	for _, w := range words {
		trimmed := strings.TrimRight(w, " ")
		if gap != "" && trimmed != "" && column+len(gap)+len(trimmed) > MaxLine {
			b.WriteString("\r\n")
			column = 0
		}
		if trimmed == "" {
			gap += w
			continue
		}
		b.WriteString(gap + trimmed)
		column += len(gap) + len(trimmed)
		gap = w[len(trimmed):]
	}
	return b.String()
}
