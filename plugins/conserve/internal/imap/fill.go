package imap

import (
	"errors"
	"io"
	"time"

	imap "github.com/emersion/go-imap/v2"
)

// Create makes a folder and subscribes to it; one that is there stays as it is.
func (s *Session) Create(folder string) error {
	err := s.c.Create(folder, nil).Wait()
	if refusal := (*imap.Error)(nil); errors.As(err, &refusal) && refusal.Code == imap.ResponseCodeAlreadyExists {
		err = nil
	}
	if err == nil {
		err = s.c.Subscribe(folder).Wait()
	}
	if err != nil {
		return s.fault(err)
	}
	return nil
}

// Append puts a message of size bytes into a folder, as one that is not seen and came in at the time. The error is [ErrFull]
// where the quota does not allow for it. After any other error it may be there or not.
func (s *Session) Append(folder string, size int64, at time.Time, content io.Reader) error {
	command := s.c.Append(folder, size, &imap.AppendOptions{Time: at})
	written, err := io.Copy(command, io.LimitReader(content, size))
	if err == nil && written < size {
		err = io.ErrUnexpectedEOF
	}
	if closed := command.Close(); err == nil {
		err = closed
	}
	if err != nil {
		select {
		case <-s.c.Closed():
		default:
			if written < size && written > 0 {
				s.Close() // the server waits for a rest that does not come
			}
		}
	}
	if answer := s.answer(command); answer != nil {
		err = answer
	}
	if err != nil {
		return s.fault(err)
	}
	return nil
}

// waiter is a command that was sent.
type waiter interface {
	Wait() (*imap.AppendData, error)
}

// answer is what the server says to an APPEND.
func (s *Session) answer(command waiter) error {
	_, err := command.Wait()
	if refusal := (*imap.Error)(nil); errors.As(err, &refusal) && refusal.Code == imap.ResponseCodeOverQuota {
		return errors.Join(ErrFull, err)
	}
	return err
}
