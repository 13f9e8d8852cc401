// Command eicar is a complete antivirus in Go: it finds the EICAR test file, and a word of the administrator's. It knows
// no real virus.
package main

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/ceralacca/ceralacca/plugins"
)

const eicar = `X5O!P%@AP[4\PZX54(P^)7CC)7}$` + `EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*`

func main() {
	plugins.Serve(plugins.Antivirus{
		About: plugins.About{Name: "eicar", Version: "1.0.0", Schema: `{"type": "object", "additionalProperties": false,
			"properties": {"word": {"type": "string", "minLength": 1, "maxLength": 100}}}`},
		Open: func(_ context.Context, setup plugins.Setup) (plugins.Scanner, error) {
			var config struct{ Word string }
			err := setup.Decode(&config)
			return scanner{config.Word}, err
		},
	})
}

type scanner struct{ word string }

// Scan keeps the end of each piece, since what is looked for may begin in one and end in the next.
func (s scanner) Scan(_ context.Context, content *plugins.Content) (plugins.Result, error) {
	result := plugins.Result{Verdict: plugins.Clean, Engine: "eicar 1.0.0", Signatures: "1"}
	const keep = 100
	buffer, kept := make([]byte, 64<<10), 0
	for {
		n, err := content.Read(buffer[kept:])
		seen := buffer[:kept+n]
		switch {
		case bytes.Contains(seen, []byte(eicar)):
			result.Verdict, result.Virus = plugins.Infected, "EICAR-Test-File"
			return result, nil
		case s.word != "" && bytes.Contains(seen, []byte(s.word)):
			result.Verdict, result.Virus = plugins.Infected, "Word"
			return result, nil
		case errors.Is(err, io.EOF):
			return result, nil
		case err != nil:
			return result, err
		}
		kept = copy(buffer, seen[max(0, len(seen)-keep):])
	}
}
