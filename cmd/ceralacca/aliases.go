package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/internal/mailbox"
)

// aliasFaults are the entries of the alias maps that no message can be delivered to, as far as they are in files.
func aliasFaults(ctx context.Context, conf *config.Config) config.Faults {
	maps := mailbox.New(mailbox.Options{Maps: conf.Incoming.AliasMaps, Domains: conf.Provider.Domains})
	var faults config.Faults
	for _, e := range maps.Check(ctx) {
		_, file, _ := strings.Cut(e.Map, ":")
		f := config.Fault{File: file, Line: lineOfKey(file, e.Key), Column: 1, What: e.Err.Error(), Write: "addresses of certified domains, with commas between them"}
		if e.Key == "" {
			f.Write = "a map that postmap -s can read"
		} else {
			f.What = fmt.Sprintf("alias %s: %s", e.Key, f.What)
		}
		faults = append(faults, f)
	}
	return faults
}

// lineOfKey is the line of an alias in the text of its map, 1 when it is not found there.
func lineOfKey(file, key string) int {
	raw, _ := os.ReadFile(file) // a map need not have a text beside it
	for i, line := range strings.Split(string(raw), "\n") {
		if words := strings.Fields(line); len(words) > 0 && key != "" && strings.EqualFold(words[0], key) {
			return i + 1
		}
	}
	return 1
}
