package main

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

// choose finds a goal by its name; no name means all.
func choose(name string) []goal {
	if name == "" {
		return goals()
	}
	for _, g := range goals() {
		if g.name == name {
			return []goal{g}
		}
	}
	return nil
}

func names() []string {
	var all []string
	for _, g := range goals() {
		all = append(all, g.name)
	}
	return all
}
