// Package s3 is an S3-compatible store for tests and the lab: versitygw, which checks signatures (SigV4), over a folder. It
// is for tests only, and does not outlive who started it.
package s3

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/ceralacca/ceralacca/internal/clock"
)

// Server is a store. Start and Stop are for one caller at a time.
type Server struct {
	dir       string
	cert, key string
	program   string
	cmd       *exec.Cmd
	ended     chan struct{}

	Address string // 127.0.0.1:PORT, the same each time
}

// What the store is used with.
const (
	Access = "conserve-lab"
	Secret = "a-secret-of-the-lab"
	Region = "eu-south-1"
	Bucket = "packages"
)

// ErrProgram says that the store cannot be started.
var ErrProgram = errors.New("bin/versitygw is missing, the S3-compatible store of the tests; make bin/versitygw builds it")

// New prepares a store in a folder that exists, with one bucket. cert and key are PEM files; without them it speaks HTTP.
func New(dir, cert, key string) (*Server, error) {
	program, err := find()
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, cert: cert, key: key, program: program}
	for _, path := range []string{s.Path(""), filepath.Join(dir, "meta"), filepath.Join(dir, "iam")} {
		if err := os.MkdirAll(path, 0o755); err != nil {
			return nil, err
		}
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.Address = free.Addr().String()
	return s, free.Close()
}

// find looks for the program beside go.mod, upwards of the working folder.
func find() (string, error) {
	dir, err := os.Getwd()
	for ; err == nil && dir != "/"; dir = filepath.Dir(dir) {
		if _, missing := os.Stat(filepath.Join(dir, "go.mod")); missing != nil {
			continue
		}
		program := filepath.Join(dir, "bin", "versitygw")
		if _, missing := os.Stat(program); missing != nil {
			return "", ErrProgram
		}
		return program, nil
	}
	return "", ErrProgram
}

// Path is where an object lies, without a name the bucket.
func (s *Server) Path(object string) string { return filepath.Join(s.dir, "root", Bucket, object) }

// Start starts the store and returns when it answers.
func (s *Server) Start(ctx context.Context) error {
	args := []string{"--port", s.Address, "--region", Region, "--quiet", "--iam-dir", filepath.Join(s.dir, "iam"), "--iam-cache-disable"}
	scheme := "http"
	if s.cert != "" {
		args, scheme = append(args, "--cert", s.cert, "--key", s.key), "https"
	}
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the program has its own
	s.cmd = exec.Command(s.program, append(args, "posix", "--sidecar", filepath.Join(s.dir, "meta"), filepath.Join(s.dir, "root"))...)
	s.cmd.Env = []string{"ROOT_ACCESS_KEY=" + Access, "ROOT_SECRET_KEY=" + Secret, "HOME=" + s.dir}
	s.cmd.Stdout, s.cmd.Stderr = log, log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.start(); err != nil {
		return err
	}
	for range 600 {
		if s.answers(ctx, scheme) {
			return nil
		}
		if err := (clock.System{}).Sleep(ctx, 50*time.Millisecond); err != nil {
			break
		}
	}
	s.Stop()
	text, _ := os.ReadFile(filepath.Join(s.dir, "log"))
	return fmt.Errorf("versitygw does not answer at %s: %s", s.Address, strings.TrimSpace(string(text)))
}

func (s *Server) answers(ctx context.Context, scheme string) bool {
	if scheme == "https" {
		c, err := net.Dial("tcp", s.Address)
		if err != nil {
			return false
		}
		return c.Close() == nil
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+s.Address, nil)
	if err != nil {
		return false
	}
	answer, err := http.DefaultClient.Do(r)
	return err == nil && answer.Body.Close() == nil
}

// start starts the program on a thread of its own, which stays until it ends: what is to die with its parent dies with the
// parent's thread.
func (s *Server) start() error {
	started, ended := make(chan error), make(chan struct{})
	s.ended = ended
	go func(cmd *exec.Cmd) {
		defer close(ended)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // it was killed
		}
	}(s.cmd)
	return <-started
}

// User makes a user who may do nothing until a policy of the bucket says so. The store has to be one that speaks HTTP.
func (s *Server) User(ctx context.Context, access, secret string) error {
	cmd := exec.CommandContext(ctx, s.program, "admin", "--endpoint-url", "http://"+s.Address, "--region", Region, "create-user",
		"--access", access, "--secret", secret, "--role", "user")
	cmd.Env = []string{"ADMIN_ACCESS_KEY=" + Access, "ADMIN_SECRET_KEY=" + Secret, "HOME=" + s.dir}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("versitygw admin: %w: %s", err, out)
	}
	return nil
}

// Stop kills the store, as a power cut would.
func (s *Server) Stop() {
	if s.cmd != nil && s.cmd.Process != nil {
		_ = s.cmd.Process.Kill()
		<-s.ended
	}
	s.cmd = nil
}
