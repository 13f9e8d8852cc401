package lab

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ceralacca/ceralacca/plugins/host"
)

// noticeName is the plug-in that tells holders, and its file beside the daemons' program.
const noticeName = "sms"

// NoticeSpool is where the notices about alfa's and beta's mailboxes lie that smsd would send.
func (l *Lab) NoticeSpool(h *Host) string { return h.path("sms", "outgoing") }

// NoticeNumber is the number that all holders have.
const NoticeNumber = "+393400000000"

// noticeSections makes the plug-in's folders and rules, and returns its sections of the configuration.
func (l *Lab) noticeSections(h *Host) (string, error) {
	state, staging := h.path("sms", "state"), h.path("sms", "staging")
	for _, folder := range []string{h.path("sms"), state, staging, l.NoticeSpool(h)} {
		if err := folders(folder); err != nil {
			return "", err
		}
		if err := os.Chmod(folder, 0o777); err != nil { // the plug-in is nobody
			return "", err
		}
	}
	boxes := map[string]any{}
	for _, u := range h.Users {
		boxes[u.Address] = map[string]any{"numbers": []string{NoticeNumber}}
	}
	rules, err := json.Marshal(map[string]any{"mailboxes": boxes})
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(state, "rules.json"), rules, 0o644); err != nil {
		return "", err
	}
	path := filepath.Join(l.runtime, "bin", noticeName)
	sum, err := host.Checksum(path)
	if err != nil {
		return "", err
	}
	rights := "network = true"
	if l.confinement.user != "" {
		rights = fmt.Sprintf("user = %q", l.confinement.user)
	}
	return fmt.Sprintf("\n[plugins.%s]\npath = %q\nsha256 = %q\n%s\n[plugins.%[1]s.config]\nstate = %[5]q\n"+
		"[plugins.%[1]s.config.smstools]\noutgoing = %[6]q\nstaging = %[7]q\n", noticeName, path, sum, rights, state, l.NoticeSpool(h), staging), nil
}
