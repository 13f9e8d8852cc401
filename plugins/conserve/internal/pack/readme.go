package pack

import _ "embed"

//go:embed leggimi.txt
var readme string

// Instructions go into every package as LEGGIMI.txt; the test runs the commands that stand in them.
func Instructions() []byte { return []byte(readme) }
