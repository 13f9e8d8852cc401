package directory

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ceralacca/ceralacca/internal/fsx"
	"github.com/ceralacca/ceralacca/signer"
)

// Version is a version of the directory that was in use and is kept: what was certified is judged by the directory of its
// day.
type Version struct {
	Instant time.Time         // when it was taken, in UTC
	Digest  [sha256.Size]byte // of the signed file
	Path    string
}

// The name of a kept version is its instant and digest: 20260501T120000.000Z-<64 digits>.ldif.p7m. Fractions were once not
// written.
const (
	versionInstant = "20060102T150405.000Z"
	versionSuffix  = ".ldif.p7m"
	waitingName    = "waiting" + versionSuffix
)

// Versions lists what is kept in a folder, the oldest first. A folder that is not there has none; other files are passed
// over.
func Versions(folder string) ([]Version, error) {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("directory: kept versions: %w", err)
	}
	var all []Version
	for _, e := range entries {
		if v, ok := parseVersion(e.Name()); ok {
			v.Path = filepath.Join(folder, e.Name())
			all = append(all, v)
		}
	}
	slices.SortFunc(all, func(a, b Version) int { return cmp.Or(a.Instant.Compare(b.Instant), cmp.Compare(a.Path, b.Path)) })
	return all, nil
}

func parseVersion(name string) (v Version, ok bool) {
	rest, isVersion := strings.CutSuffix(name, versionSuffix)
	instant, digest, found := strings.Cut(rest, "-")
	if !isVersion || !found {
		return v, false
	}
	at, err := time.Parse("20060102T150405Z", instant) // a fraction is understood without being asked for
	sum, bad := hex.DecodeString(digest)
	if err != nil || bad != nil || len(sum) != sha256.Size {
		return v, false
	}
	return Version{Instant: at, Digest: [sha256.Size]byte(sum)}, true
}

// InForce is the last of the versions, which are in order, that was taken by an instant, and whether there is one.
func InForce(versions []Version, at time.Time) (Version, bool) {
	n, _ := slices.BinarySearchFunc(versions, at, func(v Version, at time.Time) int {
		if v.Instant.After(at) {
			return 1
		}
		return -1
	})
	if n == 0 {
		return Version{}, false
	}
	return versions[n-1], true
}

// Open reads a kept version and holds it to its digest and its signature; who may sign was asked when it was taken.
func (v Version) Open() (*Snapshot, error) {
	s, digest, err := OpenFile(v.Path)
	if err == nil && digest != v.Digest {
		err = fmt.Errorf("%s: it has the SHA-256 %x, its name says another: it was changed after it was kept", v.Path, digest)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// WaitingFile is the path of the version that waits for a person, in the folder of the kept versions; it is there while one
// waits.
func WaitingFile(folder string) string { return filepath.Join(folder, waitingName) }

// OpenFile reads a signed directory and proves that it is signed; whom to trust to sign it is not asked. It returns the
// SHA-256 of the file too.
func OpenFile(path string) (*Snapshot, [sha256.Size]byte, error) {
	var digest [sha256.Size]byte
	data, err := readFile(path)
	if err != nil {
		return nil, digest, err
	}
	digest = sha256.Sum256(data)
	content, _, _, err := signer.OpenAttached(data)
	if err != nil {
		return nil, digest, fmt.Errorf("%s: %w", path, err)
	}
	s, err := Parse(content)
	if err != nil {
		return nil, digest, fmt.Errorf("%s: %w", path, err)
	}
	return s, digest, nil
}

func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() // it was only read
	data, err := fsx.ReadLimited(file, maxFile)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return data, nil
}

// keep stores a version that is about to be used, unless it is the last one there, and returns since when it is in force.
// A version that cannot be kept is not used.
func (l *Loader) keep(file []byte, digest [sha256.Size]byte) (time.Time, error) {
	now := l.options.Clock.Now()
	if l.options.Keep == "" || l.options.Follow {
		return now, nil
	}
	if err := fsx.Folder(l.options.Keep, 0o700); err != nil {
		return now, fmt.Errorf("directory: keep: %w", err)
	}
	all, err := Versions(l.options.Keep)
	if err != nil {
		return now, err
	}
	instant := now.UTC().Truncate(time.Millisecond)
	if len(all) > 0 {
		last := all[len(all)-1]
		if last.Digest == digest {
			return last.Instant, nil
		}
		if !instant.After(last.Instant) { // the clock was set back, or two came at once: the order is what counts
			instant = last.Instant.Add(time.Millisecond)
		}
	}
	path := filepath.Join(l.options.Keep, fmt.Sprintf("%s-%x%s", instant.Format(versionInstant), digest, versionSuffix))
	if err := fsx.WriteBytes(path, 0o600, file); err != nil {
		return now, fmt.Errorf("directory: keep: %w", err)
	}
	return instant, nil
}
