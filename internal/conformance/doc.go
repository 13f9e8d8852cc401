// Package conformance ties tests and code to docs/conformance.tsv, the table of
// what the standard asks. A test says which rows it proves with [Covers]; code
// cites the row it obeys as an id in square brackets; the tool in cmd checks
// that table, code and the tests that really ran agree.
//
// It does not know what a rule means, does not run tests, and is no part of the
// product: only tests and its own tool import it.
package conformance
