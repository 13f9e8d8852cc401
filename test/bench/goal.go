package main

import (
	"slices"
	"strings"
)

// goal is one line of docs/performance.md.
type goal struct {
	name string
	text string
	once bool // it has no rounds
	bare bool // it needs no lab
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
		{name: "P1", text: "access point against opendkim, 10 KB", run: accessSmall},
		{name: "P2", text: "access point against opendkim, 1 and 30 MB", run: accessLarge},
		{name: "P3", text: "CPU of the access point against a milter that only reads", run: accessCPU},
		{name: "P4", text: "memory that eight messages of 100 MB at a time add to each daemon", once: true, run: memoryGoal},
		{name: "P5", text: "certified transactions within a provider against the same mail without certification", run: localTransactions},
		{name: "P6", text: "certified transactions between two providers against the same mail without certification", run: remoteTransactions},
		{name: "P8", text: "disk flushes of a certified transaction within a provider", run: flushes},
		{name: "P9", text: "events and ticks with ten million open messages against ten thousand", bare: true, run: openGoal},
		{name: "P10", text: "verifying and sealing 30 MB against OpenSSL", run: files},
		{name: "P11", text: "the delivery agent against Dovecot's LMTP", run: delivery},
		{name: "P12", text: "sealing with a key in a token against crypto11 alone, eight at a time", bare: true, run: hardware},
		{name: "modules", text: "what the plug-ins sms and conserve take and keep, against files that are written and flushed", bare: true, run: moduleGoal},
		{name: "directory", text: "reading a directory of 100,000 domains", once: true, bare: true, run: largeDirectory},
		{name: "calls", text: "each kind of call of a plug-in against the same without one", run: pluginCalls},
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

// bare says whether no goal of a list needs the lab.
func bare(list []goal) bool {
	return !slices.ContainsFunc(list, func(g goal) bool { return !g.bare })
}

func names() []string {
	var all []string
	for _, g := range goals() {
		all = append(all, g.name)
	}
	return all
}
