package main

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// sink is the bare peer of calls that carry content: a process that reads it from a unix socket and says one byte when
// it has all.
type sink struct {
	cmd  *exec.Cmd
	conn *net.UnixConn
}

func startSink(dir string) (*sink, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "sink")
	s := &sink{cmd: exec.Command(self, "sink", path)}
	s.cmd.Stderr = os.Stderr
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	for range 1000 {
		conn, err := net.Dial("unix", path)
		if err == nil {
			s.conn = conn.(*net.UnixConn)
			return s, nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.close()
	return nil, errors.New("the sink does not answer")
}

func (s *sink) pid() int { return s.cmd.Process.Pid }

func (s *sink) close() {
	if s == nil {
		return
	}
	if s.conn != nil {
		_ = s.conn.Close() // the process ends then
	} else {
		_ = s.cmd.Process.Kill()
	}
	_ = s.cmd.Wait() // it has nothing to say
}

// send waits until all was read.
func (s *sink) send(content *io.SectionReader) error {
	if err := binary.Write(s.conn, binary.BigEndian, content.Size()); err != nil {
		return err
	}
	if err := pour(s.conn, content); err != nil {
		return err
	}
	_, err := io.ReadFull(s.conn, make([]byte, 1))
	return err
}

// runSink is the process. It ends with its connection.
func runSink(path string) error {
	listener, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	conn, err := listener.Accept()
	if err != nil {
		return err
	}
	_ = listener.Close() // removes the socket: there is one client
	buffer := make([]byte, pieceSize)
	for {
		var size int64
		if err := binary.Read(conn, binary.BigEndian, &size); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, io.LimitReader(conn, size), buffer); err != nil {
			return err
		}
		if _, err := conn.Write([]byte{1}); err != nil {
			return err
		}
	}
}
