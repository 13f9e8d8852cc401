// Package journal keeps small records of the state as files of JSON. It does not know what is in them.
package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ceralacca/ceralacca/internal/fsx"
)

// Read reads a record into v, which stays as it is where there is no file.
func Read(path string, v any) error {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(text, v)
	}
	if err != nil {
		return fmt.Errorf("the journal %s: %w", path, err)
	}
	return nil
}

// Write writes a record, and the folders above it, and returns when a crash would not lose it.
func Write(path string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := fsx.Folder(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return fsx.WriteBytes(path, 0o600, text)
}
