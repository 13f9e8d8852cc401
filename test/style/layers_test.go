package style

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// layerOf lists the layers from the lowest up; a package imports lower ones
// only. What stands below a listed folder belongs to its layer.
var layerOf = [][]string{
	{"internal/rawmsg", "internal/clock", "internal/secret", "internal/mediatype", "internal/socket", "deploy/postfix", "deploy/dovecot", "deploy/clients"},
	{"pec"},
	{"policy", "signer", "internal/store", "internal/config", "internal/reply", "internal/mailbox",
		"internal/transaction", "internal/metrics", "internal/fsx"},
	{"internal/ledger", "internal/tracking", "internal/directory", "internal/effect", "internal/events", "internal/quarantine",
		"internal/revocation", "internal/admin", "internal/timesync", "internal/tlspolicy", "internal/mxcheck", "internal/postfix", "plugins"},
	{"milter", "lda"},
	{"internal/app", "internal/examine"},
	{"cmd"},
}

// layer finds the listed folder of a package and its height, 0 when unlisted.
func layer(dir string) (string, int) {
	for height, folders := range layerOf {
		for _, folder := range folders {
			if within(dir, folder) {
				return folder, height + 1
			}
		}
	}
	return "", 0
}

// imports returns the paths that a file imports.
func (f *file) imports() []string {
	var paths []string
	for _, spec := range f.syntax.Imports {
		if path, err := strconv.Unquote(spec.Path.Value); err == nil {
			paths = append(paths, path)
		}
	}
	return paths
}

// ours turns an import path into a folder of this module.
func ours(path string) (string, bool) {
	dir, ok := strings.CutPrefix(path, module+"/")
	return dir, ok
}

func layers(t *tree) []string {
	var faults []string
	for _, f := range t.product() {
		folder, height := layer(f.dir())
		if height == 0 {
			faults = append(faults, fmt.Sprintf("%s: package %s has no layer; give it one in layerOf.", f.path, f.dir()))
			continue
		}
		for _, path := range f.imports() {
			dir, ok := ours(path)
			if !ok || isTestPackage(dir) {
				continue
			}
			target, depth := layer(dir)
			if target != folder && depth >= height {
				faults = append(faults, fmt.Sprintf("%s: %s must not import %s, which is no lower layer.", f.path, f.dir(), dir))
			}
		}
	}
	return faults
}

// sdk: what authors build with knows nothing of the mail server.
func sdk(t *tree) []string {
	var faults []string
	for _, f := range t.product() {
		if f.dir() != "plugins" && !within(f.dir(), "plugins/contract") && !within(f.dir(), "plugins/examples") {
			continue
		}
		for _, path := range f.imports() {
			if dir, ok := ours(path); ok && dir != "plugins" && !within(dir, "plugins/contract") {
				faults = append(faults, fmt.Sprintf("%s: what plug-ins are built with must not import %s.", f.path, dir))
			}
		}
	}
	return faults
}

// neighbours: the queue stands between milter and agent, in tests too.
func neighbours(t *tree) []string {
	var faults []string
	for _, f := range t.files {
		if !f.isGo() {
			continue
		}
		for _, path := range f.imports() {
			dir, _ := ours(path)
			if within(f.dir(), "milter") && within(dir, "lda") || within(f.dir(), "lda") && within(dir, "milter") {
				faults = append(faults, fmt.Sprintf("%s: milter and lda must not import each other.", f.path))
			}
		}
	}
	return faults
}

// testPackages: what serves the tests does not get into the product.
func testPackages(t *tree) []string {
	var faults []string
	for _, f := range t.product() {
		for _, path := range f.imports() {
			if dir, ok := ours(path); ok && isTestPackage(dir) || path == "testing" {
				faults = append(faults, fmt.Sprintf("%s: %s is for tests only.", f.path, path))
			}
		}
	}
	return faults
}

// common libraries extend the standard one and may be imported everywhere.
const common = "golang.org/x/"

// homes says where in the product a library may be imported: by that package, or
// by one below it.
var homes = map[string]string{
	"github.com/emersion/go-milter":       "milter/internal/wire",
	"github.com/emersion/go-smtp":         "lda",
	"github.com/emersion/go-sasl":         "lda",
	"github.com/emersion/go-imap":         "internal/mailbox",
	"github.com/smallstep/pkcs7":          "signer",
	"go.etcd.io/bbolt":                    "internal/store",
	"github.com/pelletier/go-toml":        "internal/config",
	"github.com/alecthomas/kong":          "cmd/ceralacca",
	"github.com/prometheus/client_golang": "internal/metrics",
	"github.com/go-ldap/ldif":             "internal/directory",
	"github.com/go-ldap/ldap":             "internal/directory",
	"github.com/emersion/go-message":      "pec",
	"github.com/hashicorp/go-plugin":      "plugins/host",
	"github.com/hashicorp/go-hclog":       "plugins/host",
	"github.com/santhosh-tekuri":          "plugins/host",
	"github.com/ThalesGroup/crypto11":     "plugins/pkcs11",
	"github.com/miekg/pkcs11":             "plugins/pkcs11",
	"github.com/minio/minio-go":           "plugins/conserve/internal/s3",
	"google.golang.org/grpc":              "plugins/host",
	"google.golang.org/protobuf":          "plugins/host",
}

// secondHomes says where else: a program of its own cannot ask the daemons'.
var secondHomes = map[string]string{
	"github.com/emersion/go-imap": "plugins/conserve/internal/imap",
}

// pluginSide is what runs in a plug-in's own process, and what plays a host that
// errs: it speaks the protocol beside the one package that speaks it in the daemons.
func pluginSide(dir string) bool {
	return dir == "plugins" || within(dir, "plugins/contract") || within(dir, "plugins/examples") || dir == "plugins/check"
}

// libraries: one library, one package; a library without a home has one importer.
func libraries(t *tree) []string {
	var faults []string
	importers := map[string][]string{}
	for _, f := range t.product() {
		for _, path := range f.imports() {
			if !foreign(path) || strings.HasPrefix(path, common) || pluginSide(f.dir()) {
				continue
			}
			library, home := homeOf(path)
			if second := secondHomes[library]; second != "" && within(f.dir(), second) {
				continue
			}
			if home != "" && !within(f.dir(), home) {
				faults = append(faults, fmt.Sprintf("%s: only %s may import %s.", f.path, home, library))
			}
			if !slices.Contains(importers[library], f.dir()) {
				importers[library] = append(importers[library], f.dir())
			}
		}
	}
	for library, dirs := range importers {
		if len(dirs) > 1 {
			faults = append(faults, fmt.Sprintf("%s is imported by %s; one library, one package.", library, strings.Join(dirs, ", ")))
		}
	}
	return faults
}

// foreign says whether a path is neither ours nor of the standard library.
func foreign(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	_, own := ours(path)
	return strings.Contains(first, ".") && !own
}

func homeOf(path string) (library, home string) {
	for library, home := range homes {
		if strings.HasPrefix(path, library) {
			return library, home
		}
	}
	part := strings.SplitN(path, "/", 4)
	return strings.Join(part[:min(3, len(part))], "/"), ""
}

// keys: only signer handles keys that certify. Client certificates of TLS are
// loaded by crypto/tls, which this rule leaves alone.
func keys(t *tree) []string {
	forbidden := []string{"crypto/rsa", "crypto/ecdsa", "crypto/dsa", "encoding/asn1", "golang.org/x/crypto/pkcs12"}
	var faults []string
	for _, f := range t.product() {
		if within(f.dir(), "signer") {
			continue
		}
		for _, path := range f.imports() {
			if slices.Contains(forbidden, path) {
				faults = append(faults, fmt.Sprintf("%s: only signer may import %s.", f.path, path))
			}
		}
		for _, call := range selectors(f, "crypto/x509") {
			if strings.HasPrefix(call.name, "Parse") && strings.HasSuffix(call.name, "PrivateKey") {
				faults = append(faults, fmt.Sprintf("%s: only signer may read private keys.", t.at(call.node)))
			}
		}
	}
	return faults
}
