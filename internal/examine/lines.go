package examine

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/ceralacca/ceralacca/internal/rawmsg"
	"github.com/ceralacca/ceralacca/pec"
)

// open opens a regular file: others have no size, and a pipe would keep us waiting for somebody to write.
func open(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	return os.Open(path)
}

// hasBare says whether a line of r ends with a bare LF: no message in transit has one.
func hasBare(r io.Reader) (bool, error) {
	piece, before := make([]byte, 64<<10), byte(0)
	for {
		n, err := r.Read(piece)
		if bareWithin(piece[:n], before) {
			return true, nil
		}
		if n > 0 {
			before = piece[n-1]
		}
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
}

// bareWithin says whether piece, which follows the byte before, has a bare LF.
func bareWithin(piece []byte, before byte) bool {
	for {
		end := bytes.IndexByte(piece, '\n')
		switch {
		case end < 0:
			return false
		case end > 0:
			before = piece[end-1]
		}
		if before != '\r' {
			return true
		}
		piece, before = piece[end+1:], '\n'
	}
}

// postmark is the length of the line that a mailbox file (mbox) has in front of a message; 0 when there is none. It is no
// field, for a field has a colon before any space.
func postmark(f io.ReaderAt) (int64, error) {
	start := make([]byte, 1000)
	n, err := f.ReadAt(start, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	end := bytes.IndexByte(start[:n], '\n')
	if end < 0 || !bytes.HasPrefix(start, []byte("From ")) {
		return 0, nil
	}
	return int64(end) + 1, nil
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

// What a report says of a file that is not as the message was in transit.
const (
	bareNote     = "the file was saved with bare LF line ends; it was read with CRLF, as mail is sent"
	postmarkNote = "the file begins with the line of a mailbox file (From …), which was left out"
)

// load returns the message in path with CRLF line ends, and a note when the file has others, or more than the message.
func load(path string) (src pec.Source, closeFile func(), note string, err error) {
	f, err := open(path)
	if err != nil {
		return nil, nil, "", err
	}
	src, closeCopy, notes, err := message(f)
	if err != nil {
		_ = f.Close() // only read
		return nil, nil, "", err
	}
	return src, func() { closeCopy(); _ = f.Close() }, strings.Join(notes, "; "), nil
}

func message(f *os.File) (src pec.Source, closeCopy func(), notes []string, err error) {
	info, err := f.Stat()
	if err != nil {
		return nil, nil, nil, err
	}
	start, err := postmark(f)
	if err != nil {
		return nil, nil, nil, err
	}
	if start > 0 {
		notes = append(notes, postmarkNote)
	}
	src = io.NewSectionReader(f, start, info.Size()-start)
	bare, err := hasBare(io.NewSectionReader(src, 0, src.Size()))
	if err != nil || !bare {
		return src, func() {}, notes, err
	}
	w := rawmsg.NewWriter(os.TempDir())
	if err := addReturns(w, io.NewSectionReader(src, 0, src.Size())); err != nil {
		w.Discard()
		return nil, nil, nil, err
	}
	m, err := w.Finish()
	if err != nil {
		return nil, nil, nil, err
	}
	return m, func() { _ = m.Close() }, append(notes, bareNote), nil
}
