package examine

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"

	"github.com/ceralacca/ceralacca/internal/rawmsg"
	"github.com/ceralacca/ceralacca/pec"
)

type fileSource struct {
	*os.File
	size int64
}

// Size implements pec.Source.
func (f fileSource) Size() int64 { return f.size }

// lineEnds returns the size of f and whether its first line ends with a bare LF.
func lineEnds(f *os.File) (size int64, bare bool, err error) {
	info, err := f.Stat()
	if err != nil {
		return 0, false, err
	}
	if !info.Mode().IsRegular() {
		return 0, false, errors.New("not a regular file")
	}
	start := make([]byte, 64<<10)
	n, err := f.ReadAt(start, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, false, err
	}
	i := bytes.IndexByte(start[:n], '\n')
	return info.Size(), i == 0 || i > 0 && start[i-1] != '\r', nil
}

// addReturns copies r to w with CRLF line ends.
func addReturns(w io.Writer, r io.Reader) error {
	in := bufio.NewReaderSize(r, 64<<10)
	out := bufio.NewWriterSize(w, 64<<10)
	held := false // a CR that ended a piece: the LF may begin the next
	for {
		piece, err := in.ReadSlice('\n')
		line, ended := bytes.CutSuffix(piece, []byte("\n"))
		if held && (len(line) > 0 || !ended) {
			_ = out.WriteByte('\r') // the error comes back from Flush
		}
		line, held = bytes.CutSuffix(line, []byte("\r"))
		_, _ = out.Write(line)
		if ended {
			_, _ = out.WriteString("\r\n")
			held = false
		}
		if held && errors.Is(err, io.EOF) {
			_ = out.WriteByte('\r')
		}
		if errors.Is(err, io.EOF) {
			return out.Flush()
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
}

// bareNote is what a report says of a file without CRLF.
const bareNote = "the file was saved with bare LF line ends; it was read with CRLF, as it was signed"

// load returns the message in path with CRLF line ends, and a note when it had others.
func load(path string) (src pec.Source, closeFile func(), note string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, "", err
	}
	size, bare, err := lineEnds(f)
	if err != nil {
		_ = f.Close() // only read
		return nil, nil, "", err
	}
	if !bare {
		return fileSource{f, size}, func() { _ = f.Close() }, "", nil
	}
	defer func() { _ = f.Close() }() // only read
	w := rawmsg.NewWriter(os.TempDir())
	if err := addReturns(w, f); err != nil {
		w.Discard()
		return nil, nil, "", err
	}
	m, err := w.Finish()
	if err != nil {
		return nil, nil, "", err
	}
	return m, func() { _ = m.Close() }, bareNote, nil
}
