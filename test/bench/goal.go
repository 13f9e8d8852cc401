package main

import (
	"slices"
	"strings"
)

// goal is one line of docs/performance.md.
type goal struct {
	name string
	text string
	// run measures. It may return rows along with an error: what must hold and does not.
	run func(*bench) ([]row, error)
}

// row is one comparison. Figures are medians over the rounds.
type row struct {
	what  string // what was compared
	ours  string // with unit
	peer  string
	ratio string // ours to the peer's, with the smallest and the largest of a round
	want  string
	holds bool
}

func goals() []goal {
	return []goal{
		{"P1", "access point against opendkim, 10 KB", accessSmall},
		{"P2", "access point against opendkim, 1 and 30 MB", accessLarge},
		{"P3", "CPU of the access point against a milter that only reads", accessCPU},
		{"P4", "memory that eight messages of 100 MB at a time add to each daemon", memoryGoal},
		{"P5", "certified transactions within a provider against the same mail without certification", localTransactions},
		{"P6", "certified transactions between two providers against the same mail without certification", remoteTransactions},
		{"P8", "disk flushes of a certified transaction within a provider", flushes},
		{"P10", "verifying and sealing 30 MB against OpenSSL", files},
		{"P11", "the delivery agent against Dovecot's LMTP", delivery},
	}
}

// choose finds goals by their names, with commas between them; no name means all. An unknown name finds none at all.
func choose(list string) []goal {
	if list == "" {
		return goals()
	}
	var chosen []goal
	for name := range strings.SplitSeq(list, ",") {
		i := slices.IndexFunc(goals(), func(g goal) bool { return g.name == name })
		if i < 0 {
			return nil
		}
		chosen = append(chosen, goals()[i])
	}
	return chosen
}

func names() []string {
	var all []string
	for _, g := range goals() {
		all = append(all, g.name)
	}
	return all
}
