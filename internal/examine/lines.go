package examine

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
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
	for {
		piece, err := in.ReadSlice('\n')
		if line, ok := bytes.CutSuffix(piece, []byte("\n")); ok {
			line = bytes.TrimSuffix(line, []byte("\r"))
			_, _ = out.Write(line) // the error comes back from Flush
			_, _ = out.WriteString("\r\n")
		} else {
			_, _ = out.Write(piece)
		}
		if errors.Is(err, io.EOF) {
			return out.Flush()
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
}
