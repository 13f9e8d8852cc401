package directory

import (
	"crypto/sha256"
	"fmt"
	"path/filepath"

	"github.com/ceralacca/ceralacca/internal/fsx"
)

// keep stores a version that is about to be used, unless it is there: what was certified is judged by the directory of
// its day. A version that cannot be kept is not used.
func (l *Loader) keep(file []byte, digest [sha256.Size]byte) error {
	if l.options.Keep == "" {
		return nil
	}
	if err := fsx.Folder(l.options.Keep, 0o700); err != nil {
		return fmt.Errorf("directory: keep: %w", err)
	}
	there, err := filepath.Glob(filepath.Join(l.options.Keep, fmt.Sprintf("*-%x.ldif.p7m", digest)))
	if err != nil {
		return fmt.Errorf("directory: keep: %w", err)
	}
	if len(there) > 0 {
		return nil
	}
	instant := l.options.Clock.Now().UTC().Format("20060102T150405Z")
	path := filepath.Join(l.options.Keep, fmt.Sprintf("%s-%x.ldif.p7m", instant, digest))
	if err := fsx.WriteBytes(path, 0o600, file); err != nil {
		return fmt.Errorf("directory: keep: %w", err)
	}
	return nil
}
