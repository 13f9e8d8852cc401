package conformance

// section is a part of the table, from one id to that of the next section.
type section struct {
	Letter, Title, first string
}

// sections are those of the table, in its order.
func sections() []section {
	return []section{
		{"A", "Every message that we generate", "C001"},
		{"B", "Access point: submission, checks, identifiers", "C023"},
		{"C", "Access point: non-acceptance for a formal fault", "C048"},
		{"D", "Access point: viruses", "C060"},
		{"E", "Access point: acceptance and transport envelope", "C068"},
		{"F", "Access point: when time runs out", "C088"},
		{"G", "Incoming point: reception and checks", "C101"},
		{"H", "Incoming point: anomaly envelopes and viruses", "C132"},
		{"I", "Delivery point", "C158"},
		{"J", "Formats: time, MIME, certification data", "C186"},
		{"K", "Index of providers", "C207"},
		{"L", "Security and certificate profile", "C225"},
		{"M", "Log and retention", "C240"},
		{"N", "What clients need", "C245"},
		{"O", "Rules outside RFC 6109", "C247"},
	}
}

// sectionOf finds the section of an id; ids have three digits, so that they order as text.
func sectionOf(id string) (found section) {
	for _, s := range sections() {
		if s.first <= id {
			found = s
		}
	}
	return found
}
