// Command notes is a complete notification in Go: it leaves a note in a folder for each event, and sends nothing itself.
package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ceralacca/ceralacca/plugins"
)

func main() {
	plugins.Serve(plugins.Notification{
		About: plugins.About{Name: "notes", Version: "1.0.0", Schema: `{"type": "object", "additionalProperties": false,
			"properties": {"folder": {"type": "string", "pattern": "^/"}}}`},
		Open: func(_ context.Context, setup plugins.Setup) (plugins.Notifier, error) {
			config := struct{ Folder string }{setup.Dir} // for a try: it goes with the process
			err := setup.Decode(&config)
			return notifier(config.Folder), err
		},
	})
}

type notifier string

// Notify names the note after the key: the same event again finds that it is there, and nobody is told twice.
func (folder notifier) Notify(_ context.Context, event plugins.Event) (plugins.Effect, error) {
	name := fmt.Sprintf("%x", sha256.Sum256([]byte(event.Key)))
	file, err := os.OpenFile(filepath.Join(string(folder), name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return plugins.Effect{Outcome: plugins.Done, Reference: name}, nil
	}
	if err != nil {
		return plugins.Effect{}, err // not now: it comes again
	}
	_, err = fmt.Fprintf(file, "%s: %s\n", event.Mailbox, event.Name)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return plugins.Effect{}, errors.Join(err, os.Remove(file.Name()))
	}
	return plugins.Effect{Outcome: plugins.Done, Reference: name}, nil
}
