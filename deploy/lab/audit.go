package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// finding is a line of ceralacca audit --json.
type finding struct {
	Identifier string `json:"identifier"`
	Rule       int    `json:"rule"`
	Fault      bool   `json:"fault"`
	Text       string `json:"text"`
}

// Audit has program, a ceralacca, audit the legal logs of the certified hosts, as if everything that is to come had come:
// first through their agents, then with the agents stopped, from the files. It returns an error that says all that is
// wrong, but for the messages whose identifiers are in provoked: those that a test broke on purpose. The agents stay
// stopped.
func (l *Lab) Audit(ctx context.Context, program string, provoked map[string]bool) error {
	wrong := l.auditAll(ctx, program, "running", provoked)
	for _, h := range []*Host{l.Alfa, l.Beta} {
		wrong = errors.Join(wrong, l.processes.Halt(h.Name+"-lda"))
	}
	return errors.Join(wrong, l.auditAll(ctx, program, "stopped", provoked))
}

func (l *Lab) auditAll(ctx context.Context, program, agent string, provoked map[string]bool) (wrong error) {
	for _, h := range []*Host{l.Alfa, l.Beta} {
		cmd := exec.CommandContext(ctx, program, "audit", "--json", "--grace", "0s", "--config", h.Config)
		var said bytes.Buffer
		cmd.Stderr = &said
		out, err := cmd.Output()
		if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() > 1 {
			wrong = errors.Join(wrong, fmt.Errorf("the audit of %s, its agent %s: %w\n%s", h.Name, agent, err, said.String()))
			continue
		}
		faults, err := faultsIn(out, provoked)
		wrong = errors.Join(wrong, err)
		for _, f := range faults {
			wrong = errors.Join(wrong, fmt.Errorf("the audit of %s, its agent %s: %s: rule %d: %s", h.Name, agent, f.Identifier, f.Rule, f.Text))
		}
	}
	return wrong
}

// faultsIn are the faults among the findings, without those that were provoked.
func faultsIn(out []byte, provoked map[string]bool) (faults []finding, err error) {
	for line := range bytes.Lines(out) {
		var f finding
		if err := json.Unmarshal(line, &f); err != nil {
			return nil, fmt.Errorf("%q is no finding: %w", line, err)
		}
		if f.Fault && !provoked[strings.Trim(f.Identifier, "<>")] {
			faults = append(faults, f)
		}
	}
	return faults, nil
}
