package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/ceralacca/ceralacca/plugins"
)

// chunk is how content is cut, in bytes: with its frame it just fits the pool of 16 KiB that gRPC has. With 32 KiB
// eight calls at a time come close to the 8 MiB that they may cost a milter, with 256 KiB they cost each side 30 MiB.
const chunk = 16<<10 - 64

// errContent says that the host could not read what it should send.
var errContent = errors.New("the content cannot be read")

// Content is what a plug-in is to look at or keep. It is only read, and not after the call.
type Content struct {
	io.ReaderAt
	Size     int64
	Metadata plugins.Metadata // sent to plug-ins that need it
}

// pieces sends content in chunks from one buffer. An io.EOF of send means that the plug-in has answered already.
func (c Content) pieces(ctx context.Context, send func([]byte) error) error {
	buffer := make([]byte, min(chunk, max(c.Size, 1)))
	for at := int64(0); at < c.Size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		want := min(int64(len(buffer)), c.Size-at)
		n, err := c.ReadAt(buffer[:want], at)
		if int64(n) < want {
			return fmt.Errorf("%w: %w", errContent, err)
		}
		if err := send(buffer[:n]); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		at += int64(n)
	}
	return nil
}

// handOver makes a file of the content that the plug-in may read and nobody else, and returns its path. The caller
// removes it.
func (i *Instance) handOver(c Content) (path string, err error) {
	file, err := os.CreateTemp(i.spool, "message-")
	if err != nil {
		return "", fmt.Errorf("%w: %w", errContent, err)
	}
	mode := os.FileMode(0o400)
	if i.who.other {
		mode = 0o440
		err = file.Chown(-1, i.who.gid)
	}
	if err == nil {
		_, err = io.Copy(file, io.NewSectionReader(c, 0, c.Size))
	}
	if err == nil {
		err = file.Chmod(mode)
	}
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		_ = os.Remove(file.Name()) // the folder goes with the process
		return "", fmt.Errorf("%w: %w", errContent, err)
	}
	return file.Name(), nil
}
