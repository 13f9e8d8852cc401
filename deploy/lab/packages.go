package lab

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab/tsa"
	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/plugins/host"
)

// packageName is the plug-in that preserves mail, and its file beside the daemons' program.
const packageName = "conserve"

// PackageFolder is where the preserved packages of a host lie.
func (l *Lab) PackageFolder(h *Host) string { return h.path(packageName, "packages") }

// EndDay lets a host's preserving plug-in, and nobody else, see the next day, so that it makes the packages of this one.
func (l *Lab) EndDay(h *Host) error {
	return os.WriteFile(h.path(packageName, "clock"), []byte("+24h\n"), 0o644)
}

// packageSections makes the plug-in's folders, key and time stamping authority, and returns its sections of the configuration.
func (l *Lab) packageSections(h *Host) (string, error) {
	uid, rights, err := l.pluginUser()
	if err != nil {
		return "", err
	}
	at := func(name string) string { return h.path(packageName, name) }
	if err := folders(h.path(packageName), at("tsa")); err != nil {
		return "", err
	}
	for _, folder := range []string{at("state"), l.PackageFolder(h)} {
		if err := ownedFolder(folder, 0o755, uid, -1); err != nil {
			return "", err
		}
	}
	pair, err := l.keys.ca.Signing(h.Provider, packageName+"@"+h.Domain)
	if err != nil {
		return "", err
	}
	key, err := pair.KeyPEM()
	if err == nil {
		err = errors.Join(writeSecret(at("key.pem"), key, uid), os.WriteFile(at("cert.pem"), pair.CertPEM(), 0o644), os.WriteFile(at("clock"), nil, 0o644))
	}
	if err != nil {
		return "", err
	}
	url, authority, err := l.serveStamps(at("tsa"))
	if err != nil {
		return "", err
	}
	path := filepath.Join(l.runtime, "bin", packageName)
	sum, err := host.Checksum(path)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("\n[plugins.%[1]s]\npath = %q\nsha256 = %q\n%s\n[plugins.%[1]s.config]\nfolder = %[5]q\nstore_directory = %q\nowner = %q\n"+
		"certificate = %q\nkey = %q\nsigners = %q\nstamp_url = %q\nstamp_authorities = %q\ndelay = \"0s\"\nlab_clock = %q\n",
		packageName, path, sum, rights, at("state"), l.PackageFolder(h), h.Provider, at("cert.pem"), at("key.pem"), l.CA, url, authority, at("clock")), nil
}

// pluginUser is whom a plug-in that needs the network runs as, and what the configuration says for it.
func (l *Lab) pluginUser() (uid int, rights string, err error) {
	if l.confinement.user == "" {
		return l.accounts.daemon, "network = true", nil
	}
	u, err := user.Lookup(l.confinement.user)
	if err != nil {
		return 0, "", err
	}
	uid, err = strconv.Atoi(u.Uid)
	return uid, fmt.Sprintf("user = %q\nnetwork = true", u.Username), err
}

// serveStamps is a time stamping authority that has its files in a folder, until Stop.
func (l *Lab) serveStamps(folder string) (url, authority string, err error) {
	a, err := tsa.New(folder, clock.System{}.Now(), tsa.Good())
	if err != nil {
		return "", "", err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	server := &http.Server{Handler: a, ReadHeaderTimeout: 10 * time.Second}
	l.stamps = append(l.stamps, server)
	go func() { _ = server.Serve(listener) }() // ends with Close
	return "http://" + listener.Addr().String(), a.CA(), nil
}
