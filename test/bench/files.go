package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// The variants of P10.
const (
	oursName    = "ceralacca"
	opensslName = "openssl cms"
)

const fileSize = 30_000_000

// files compares whole processes, their start included, on one file of 30 MB.
func files(b *bench) ([]row, error) {
	paper, envelope, err := b.writeFiles()
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	alfa, out := b.lab.Alfa, filepath.Join(b.dir, "out.eml")
	defer func() {
		for _, name := range []string{paper, envelope, out} {
			_ = os.Remove(name) // large, and made again each time
		}
	}()
	verify, err := b.interleave(
		b.process(opensslName, "openssl", "cms", "-verify", "-CAfile", b.lab.CA, "-in", envelope, "-out", "/dev/null"),
		b.process(oursName, b.lab.Bin, "verify", "--ca", b.lab.CA, envelope))
	if err != nil {
		return nil, err
	}
	seal, err := b.interleave(
		b.process(opensslName, "openssl", "cms", "-sign", "-binary", "-stream", "-md", "sha256", "-in", paper,
			"-signer", alfa.Cert, "-inkey", alfa.Key, "-outform", "SMIME", "-out", out),
		b.process(oursName, self, "seal", alfa.Provider, alfa.PECAddress, alfa.Cert, alfa.Key, paper, out))
	if err != nil {
		return nil, err
	}
	return []row{
		verify.compare("verify, wall time", second, oursName, opensslName, atMost(0.15)),
		verify.compare("verify, memory", resident, oursName, opensslName, atMost(0.5)),
		seal.compare("seal, wall time", second, oursName, opensslName, atMost(0.6)),
		seal.compare("seal, memory", resident, oursName, opensslName, bound{}),
	}, nil
}

// writeFiles makes a message of 30 MB and its transport envelope.
func (b *bench) writeFiles() (paper, envelope string, err error) {
	alfa := b.lab.Alfa
	m, err := newMaker(alfa.Provider, alfa.PECAddress, alfa.Cert, alfa.Key)
	if err != nil {
		return "", "", err
	}
	from := m.provider.Address
	paper, envelope = filepath.Join(b.dir, "message.eml"), filepath.Join(b.dir, "envelope.eml")
	text := mail(from.String(), from.String(), fileSize)
	if err := writeFile(paper, func(w io.Writer) error { return text(w, 1) }); err != nil {
		return "", "", err
	}
	o, err := original(from, from, fileSize)
	if err != nil {
		return "", "", err
	}
	return paper, envelope, writeFile(envelope, func(w io.Writer) error {
		return m.seal(w, o, m.certData(from, from, time.Now().Truncate(time.Second)))
	})
}

func writeFile(name string, write func(io.Writer) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	err = write(f)
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}

// process is a variant that runs a program once. Its peak of memory is read while it runs: what the kernel says at its
// end is at least the memory of the process that started it.
func (b *bench) process(name, program string, args ...string) variant {
	return variant{name, func() (sample, error) {
		cmd := exec.CommandContext(b.ctx, program, args...)
		start := time.Now()
		if err := cmd.Start(); err != nil {
			return sample{}, err
		}
		peak := make(chan float64)
		go func() { peak <- highest(cmd.Process.Pid) }()
		err := cmd.Wait()
		s := sample{count: 1, seconds: time.Since(start).Seconds(), mib: <-peak}
		if err != nil {
			return s, fmt.Errorf("%s %v: %w", program, args, err)
		}
		s.cpu = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
		return s, nil
	}}
}

// highest follows the peak of a process's memory until it ends.
func highest(pid int) float64 {
	peak := 0.0
	for {
		mib, err := memory(pid, "VmHWM")
		if err != nil {
			return peak
		}
		peak = max(peak, mib)
		time.Sleep(time.Millisecond)
	}
}
