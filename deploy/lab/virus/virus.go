// Package virus makes what tests of an antivirus need: the EICAR test file, signatures for ClamAV, and the configuration
// of a clamd that knows nothing else. Nothing is downloaded, and nothing here is a virus.
package virus

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// Eicar is the file that every antivirus finds, by agreement. It stands here in two parts so that this source is no finding.
const Eicar = `X5O!P%@AP[4\PZX54(P^)7CC)7}$` + `EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*`

// EicarName is what a clamd with [EicarSignature] calls it: signatures that ClamAV's makers did not sign are marked.
const EicarName = "Eicar-Test-Signature.UNOFFICIAL"

// EicarSignature finds [Eicar] anywhere.
func EicarSignature() string { return Signature("Eicar-Test-Signature", Eicar) }

// Signature is a line of a .ndb file that finds a text anywhere in any file. Its name has no colon.
func Signature(name, text string) string {
	return name + ":0:*:" + hex.EncodeToString([]byte(text)) + "\n"
}

// Daily is the name of the file that [Database] belongs in: clamd states version and time of the database of this name.
const Daily = "daily.cud"

// Database is a database of signatures (lines of a .ndb file) with a version and the time when it was made.
func Database(signatures string, version int, made time.Time) []byte {
	head := fmt.Sprintf("ClamAV-VDB:%s:%d:%d:90:X:X:lab:%d", made.UTC().Format("02 Jan 2006 15-04 -0700"), version,
		strings.Count(signatures, "\n"), made.Unix())
	sum := sha256.Sum256([]byte(signatures))
	info := fmt.Sprintf("%s\ndaily.ndb:%d:%x\n", head, len(signatures), sum)
	var out bytes.Buffer
	fmt.Fprintf(&out, "%-512s", head)
	w := tar.NewWriter(&out)
	for _, file := range [][2]string{{"daily.info", info}, {"daily.ndb", signatures}} {
		header := &tar.Header{Name: file[0], Size: int64(len(file[1])), Mode: 0o644, Format: tar.FormatUSTAR}
		if err := w.WriteHeader(header); err != nil {
			panic(err) // a buffer takes everything
		}
		_, _ = w.Write([]byte(file[1])) // as above
	}
	_ = w.Close() // as above
	return out.Bytes()
}

// Config is a clamd.conf with what ceralacca asks for. Lines may be added; a setting counts where it stands first.
func Config(socket, database, temporary string) string {
	return fmt.Sprintf(`LocalSocket %s
LocalSocketMode 666
DatabaseDirectory %s
TemporaryDirectory %s
Foreground yes
LogTime yes
AlertEncrypted yes
AlertExceedsMax yes
StreamMaxLength 200M
MaxFileSize 200M
MaxScanSize 800M
SelfCheck 5
MaxConnectionQueueLength 200
`, socket, database, temporary)
}
