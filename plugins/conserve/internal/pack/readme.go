package pack

import _ "embed"

// readme goes into every package; the test runs the commands that stand in it.
//
//go:embed leggimi.txt
var readme string
