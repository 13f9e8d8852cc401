package config

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const pluginText = `
[plugins.clamav]
path = "/p/clamav"
sha256 = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
user = "clam"
deadline = "30s"
[plugins.clamav.config]
limits = { size = 3, deep = { x = 1 } }
[[plugins.clamav.config.hosts]]
port = 25
[plugins.b]
path = "/p/b"
sha256 = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
network = true
concurrency = 3
`

func TestPlugins(t *testing.T) {
	c := parse(t, good(t)+pluginText)
	want := []Plugin{
		{Name: "b", Path: "/p/b", SHA256: strings.Repeat("b", 64), Network: true, Deadline: time.Minute, Concurrency: 3},
		{Name: "clamav", Path: "/p/clamav", SHA256: strings.Repeat("a", 64), User: "clam", Deadline: 30 * time.Second, Concurrency: 16,
			Values: map[string]any{"limits": map[string]any{"size": int64(3), "deep": map[string]any{"x": int64(1)}},
				"hosts": []any{map[string]any{"port": int64(25)}}}},
	}
	if diff := cmp.Diff(want, c.Plugins); diff != "" {
		t.Errorf("Plugins (-want +got):\n%s", diff)
	}
}

func TestPluginFaultsNameLineAndColumn(t *testing.T) {
	c := parse(t, good(t)+pluginText)
	first := strings.Count(good(t), "\n") + 1 // the empty line
	for _, test := range []struct {
		path         []string
		line, column int
	}{
		{nil, 2, 1},
		{[]string{"limits"}, 7, 1},
		{[]string{"limits", "size"}, 7, 12},
		{[]string{"limits", "deep", "x"}, 7, 31},
		{[]string{"hosts", "0", "port"}, 8, 25},
		{[]string{"missing"}, 6, 17},
	} {
		got := c.PluginFault("clamav", test.path, "what", "this")
		if got.Line != first+test.line || got.Column != test.column {
			t.Errorf("PluginFault(%v) is at %d:%d, want %d:%d", test.path, got.Line-first, got.Column, test.line, test.column)
		}
	}
}

func TestPluginFilesAreLookedAt(t *testing.T) {
	looked := map[string]FileKind{}
	parse(t, good(t)+pluginText).CheckFiles(func(path string, kind FileKind) error {
		looked[path] = kind
		return nil
	})
	if looked["/p/clamav"] != FilePublic || looked["/p/b"] != FilePublic {
		t.Errorf("looked at %v, want the plug-ins too", looked)
	}
}
