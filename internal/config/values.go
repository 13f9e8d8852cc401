package config

import (
	"fmt"
	"math"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ceralacca/ceralacca/pec"
)

// value reads what stands in the file into a field of Config.
type value struct {
	kind string // for the reference
	// set returns what is wrong as the end of a sentence that begins with the key, or nothing.
	set func(v any) (wrong string)
	// paths are those that were set, for a key that names files.
	paths func() []string
}

// Bounds of the law and of sense.
const (
	minCheck   = time.Second
	maxCheck   = 24 * time.Hour // [C213] asks for a daily refresh
	minAge     = 24 * time.Hour // Postfix elsewhere may hold an envelope this long [C102]
	maxAge     = 30 * 24 * time.Hour
	minProduct = 30 << 20 // [C247] guarantees 30 MB

	minMaxError = 10 * time.Millisecond
	maxMaxError = 15 * time.Second // from 16 on the kernel says by itself that nobody synchronises it
	minMaxStep  = 10 * time.Millisecond
	maxMaxStep  = time.Hour
	maxGrace    = 72 * time.Hour

	minAnswer = 100 * time.Millisecond // an answer of a server
	maxAnswer = 30 * time.Second       // Postfix waits for a milter longer than this
)

// ofString makes a value of a parser of strings.
func ofString(kind string, parse func(s string) (wrong string)) value {
	return value{kind: kind, set: func(v any) string {
		s, ok := v.(string)
		if !ok {
			return fmt.Sprintf("is %s, not a text", typeName(v))
		}
		return parse(s)
	}}
}

// ofStrings makes a value of a parser of strings, each of which goes into list; a single string is a list of one.
func ofStrings(kind string, list *[]string, parse func(s string) (clean, wrong string)) value {
	return value{kind: kind, set: func(v any) string {
		items, ok := v.([]any)
		if !ok {
			items = []any{v}
		}
		if len(items) == 0 {
			return "is an empty list"
		}
		for i, item := range items {
			s, ok := item.(string)
			if !ok {
				return fmt.Sprintf("has %s where a text should stand", typeName(item))
			}
			clean, wrong := parse(s)
			if wrong != "" {
				return wrong
			}
			if slices.Contains((*list)[:i], clean) {
				return fmt.Sprintf("has %q twice", s)
			}
			*list = append(*list, clean)
		}
		return ""
	}}
}

// typeName is what a TOML value is, with its article.
func typeName(v any) string {
	switch v.(type) {
	case string:
		return "a text"
	case int64:
		return "an integer"
	case float64:
		return "a float"
	case bool:
		return "a boolean"
	case []any:
		return "a list"
	case map[string]any:
		return "a table"
	default:
		return "a date or a time"
	}
}

func text(field *string) value {
	return ofString("text", func(s string) string {
		if strings.TrimSpace(s) == "" {
			return "is empty"
		}
		if strings.ContainsFunc(s, control) {
			return "has a control character"
		}
		*field = s
		return ""
	})
}

func control(r rune) bool { return r < ' ' || r == 0x7f }

func choice(field *string, allowed ...string) value {
	return ofString("`"+strings.Join(allowed, "` or `")+"`", func(s string) string {
		if !slices.Contains(allowed, s) {
			return fmt.Sprintf("is %q, which is no choice", s)
		}
		*field = s
		return ""
	})
}

func address(field *pec.Address) value {
	return ofString("address", func(s string) string {
		a, err := pec.ParseAddress(s)
		if err != nil || a.IsZero() {
			return fmt.Sprintf("is %q, not an address", s)
		}
		*field = a.Fold()
		return ""
	})
}

// providerAddress takes only the local part that the rules give to every provider. [C053] [C078]
func providerAddress(field *pec.Address) value {
	v := address(field)
	return ofString(v.kind, func(s string) string {
		if wrong := v.set(s); wrong != "" {
			return wrong
		}
		if field.Local() != pec.ProviderMailbox {
			return fmt.Sprintf("is %q, whose part before the @ is not %s", s, pec.ProviderMailbox)
		}
		return ""
	})
}

var domainForm = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

func cleanDomain(s string) (clean, wrong string) {
	clean = strings.ToLower(s)
	if len(s) > 253 || !domainForm.MatchString(clean) {
		return "", fmt.Sprintf("has %q, not a domain", s)
	}
	return clean, ""
}

func domain(field *string) value {
	return ofString("domain", func(s string) string {
		clean, wrong := cleanDomain(s)
		*field = clean
		return wrong
	})
}

func domains(field *[]string) value { return ofStrings("domains", field, cleanDomain) }

func cleanPath(s string) (clean, wrong string) {
	if !filepath.IsAbs(s) || strings.ContainsFunc(s, control) {
		return "", fmt.Sprintf("has %q, not an absolute path", s)
	}
	return filepath.Clean(s), ""
}

func path(field *string) value {
	v := ofString("path", func(s string) string {
		clean, wrong := cleanPath(s)
		*field = clean
		return wrong
	})
	v.paths = func() []string { return []string{*field} }
	return v
}

// secretPath is [path] for the file of a secret: what may be the secret itself, written where its path belongs, is not
// repeated.
func secretPath(field *string) value {
	v := path(field)
	v.set = ofString("path", func(s string) string {
		clean, wrong := cleanPath(s)
		*field = clean
		if wrong != "" {
			return "is not an absolute path"
		}
		return ""
	}).set
	return v
}

func paths(field *[]string) value {
	v := ofStrings("path or paths", field, cleanPath)
	v.paths = func() []string { return *field }
	return v
}

var mapForm = regexp.MustCompile(`^[a-z][a-z0-9_]*:/`)

func maps(field *[]string) value {
	return ofStrings("Postfix maps", field, func(s string) (clean, wrong string) {
		if !mapForm.MatchString(s) || strings.ContainsAny(s, " ,\x00") {
			return "", fmt.Sprintf("has %q, not a Postfix map with an absolute path", s)
		}
		return s, ""
	})
}

// maxSocket is what the address of a unix socket can hold.
const maxSocket = 107

func parseSocket(s string) (e Endpoint, wrong string) {
	rest, ok := strings.CutPrefix(s, "unix:")
	if !ok || !filepath.IsAbs(rest) || strings.ContainsFunc(rest, control) {
		return e, fmt.Sprintf("is %q, not unix: and an absolute path", s)
	}
	if len(rest) > maxSocket {
		return e, fmt.Sprintf("has a path of %d bytes, too long for a socket", len(rest))
	}
	return Endpoint{"unix", filepath.Clean(rest)}, ""
}

func socket(field *Endpoint) value {
	return ofString("unix socket", func(s string) (wrong string) {
		*field, wrong = parseSocket(s)
		return wrong
	})
}

func checkHostPort(s string) (wrong string) {
	host, port, err := net.SplitHostPort(s)
	number, bad := strconv.ParseUint(port, 10, 16)
	if err != nil || host == "" || strings.ContainsAny(host, " /\x00") || bad != nil || number == 0 {
		return fmt.Sprintf("is %q, not host:port", s)
	}
	return ""
}

func hostPort(field *string) value {
	return ofString("host:port", func(s string) string {
		*field = s
		return checkHostPort(s)
	})
}

func endpoint(field *Endpoint) value {
	return ofString("unix socket or host:port", func(s string) (wrong string) {
		if strings.HasPrefix(s, "unix:") {
			*field, wrong = parseSocket(s)
			return wrong
		}
		*field = Endpoint{"tcp", s}
		return checkHostPort(s)
	})
}

func loopback(field *string) value {
	return ofString("host:port", func(s string) string {
		if wrong := checkHostPort(s); wrong != "" {
			return wrong
		}
		host, _, _ := net.SplitHostPort(s) // it has just been split
		ip, err := netip.ParseAddr(host)
		if host != "localhost" && (err != nil || !ip.IsLoopback()) {
			return fmt.Sprintf("is %q, not a loopback address", s)
		}
		*field = s
		return ""
	})
}

func httpsURL(field *string) value {
	return ofString("HTTPS URL", func(s string) string {
		u, err := url.Parse(s)
		if err == nil && u.User != nil {
			return "has a user or a password in it"
		}
		if err != nil || u.Scheme != "https" || u.Host == "" || u.Fragment != "" {
			return fmt.Sprintf("is %q, not an https:// URL", s)
		}
		*field = s
		return ""
	})
}

func percent(field *int) value {
	return value{kind: "per cent", set: func(v any) string {
		n, ok := v.(int64)
		if !ok || n < 0 || n > 100 {
			return fmt.Sprintf("is %s, not a number from 0 to 100", describe(v))
		}
		*field = int(n)
		return ""
	}}
}

// webURLs are addresses of what is signed itself, so that http is good enough.
func webURLs(field *[]string) value {
	return ofStrings("HTTP or HTTPS URLs", field, func(s string) (clean, wrong string) {
		u, err := url.Parse(s)
		if err == nil && u.User != nil {
			return "", "has a user or a password in it"
		}
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Fragment != "" {
			return "", fmt.Sprintf("has %q, not an http:// or https:// URL", s)
		}
		return s, ""
	})
}

func duration(field *time.Duration, least, most time.Duration) value {
	return ofString("duration", func(s string) string {
		d, err := time.ParseDuration(s)
		if err != nil {
			return fmt.Sprintf("is %q, not a duration", s)
		}
		if d < least || d > most {
			return fmt.Sprintf("is %q, not between %s and %s", s, hours(least), hours(most))
		}
		*field = d
		return ""
	})
}

// hours drops the zeros of a duration.
func hours(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text
}

var sizeForm = regexp.MustCompile(`^([0-9]{1,15}) ?(KB|MB|GB)$`)

func size(field *int64, least int64) value {
	return value{kind: "size", set: func(v any) string {
		n, ok := parseSize(v)
		if !ok {
			return fmt.Sprintf("is %s, not a size", describe(v))
		}
		if n < least {
			return fmt.Sprintf("is %s, and at least %d bytes are due", describe(v), least)
		}
		*field = n
		return ""
	}}
}

func describe(v any) string {
	switch v := v.(type) {
	case string:
		return strconv.Quote(v)
	case int64:
		return strconv.FormatInt(v, 10)
	default:
		return typeName(v)
	}
}

func parseSize(v any) (n int64, ok bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case string:
		match := sizeForm.FindStringSubmatch(v)
		if match == nil {
			return 0, false
		}
		unit := map[string]int64{"KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}[match[2]]
		n, err := strconv.ParseInt(match[1], 10, 64)
		return n * unit, err == nil && n <= math.MaxInt64/unit
	default:
		return 0, false
	}
}
