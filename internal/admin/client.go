package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ErrNotRunning says that no agent answers at the socket.
var ErrNotRunning = errors.New("admin: the agent is not running")

// ErrAnswer says that the agent could not answer, or that its answer was cut off.
var ErrAnswer = errors.New("admin: no whole answer")

// Client asks the agent whose socket is at the path. It is safe for concurrent use.
type Client struct {
	http *http.Client
}

var _ Questions = (*Client)(nil)

// NewClient makes a client; nothing is opened before a question.
func NewClient(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "unix", path)
	}
	return &Client{&http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// Log implements Questions.
func (c *Client) Log(ctx context.Context, id string, fn func(json.RawMessage) error) error {
	return c.ask(ctx, pathLog, url.Values{parameterID: {id}}, fn)
}

// Audit implements Questions.
func (c *Client) Audit(ctx context.Context, grace time.Duration, fn func(json.RawMessage) error) error {
	return c.ask(ctx, pathAudit, url.Values{parameterGrace: {strconv.FormatInt(grace.Milliseconds(), 10)}}, fn)
}

// Undelivered implements Questions.
func (c *Client) Undelivered(ctx context.Context, fn func(json.RawMessage) error) error {
	return c.ask(ctx, pathUndelivered, nil, fn)
}

// Pending implements Questions.
func (c *Client) Pending(ctx context.Context, older time.Duration, fn func(json.RawMessage) error) error {
	return c.ask(ctx, pathPending, url.Values{parameterOlder: {strconv.FormatInt(older.Milliseconds(), 10)}}, fn)
}

// Events implements Questions.
func (c *Client) Events(ctx context.Context, plugin, mailbox string, fn func(json.RawMessage) error) error {
	return c.ask(ctx, pathEvents, url.Values{parameterPlugin: {plugin}, parameterMailbox: {mailbox}}, fn)
}

// Drop implements Questions.
func (c *Client) Drop(ctx context.Context, plugin string, fn func(json.RawMessage) error) error {
	return c.send(ctx, http.MethodPost, pathDrop, url.Values{parameterPlugin: {plugin}}, fn)
}

// DirectoryUpdate implements Questions.
func (c *Client) DirectoryUpdate(ctx context.Context, accept string, fn func(json.RawMessage) error) error {
	return c.send(ctx, http.MethodPost, pathDirectory, url.Values{parameterAccept: {accept}}, fn)
}

func (c *Client) ask(ctx context.Context, path string, values url.Values, fn func(json.RawMessage) error) error {
	return c.send(ctx, http.MethodGet, path, values, fn)
}

func (c *Client) send(ctx context.Context, method, path string, values url.Values, fn func(json.RawMessage) error) error {
	request, err := http.NewRequestWithContext(ctx, method, "http://agent"+path+"?"+values.Encode(), nil)
	if err != nil {
		return fmt.Errorf("admin: %w", err)
	}
	response, err := c.http.Do(request)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("%w: %w", ErrNotRunning, err)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	defer response.Body.Close() // it was only read
	if response.StatusCode != http.StatusOK {
		reason, _ := io.ReadAll(io.LimitReader(response.Body, 1<<10)) // as much of it as there is
		return fmt.Errorf("%w: %s", ErrAnswer, strings.TrimSpace(string(reason)))
	}
	return lines(response.Body, fn)
}

// lines hands on each line of an answer. HTTP tells an answer that was cut off from one that has ended.
func lines(answer io.Reader, fn func(json.RawMessage) error) error {
	reader := bufio.NewReader(answer)
	for {
		line, err := reader.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrAnswer, err)
		}
		if err := fn(line[:len(line)-1]); err != nil {
			return err
		}
	}
}
