// Command mutate shows that the tests of docs/conformance.tsv can fail: it picks rows that are done, changes one line of
// the code that obeys each, and expects that a test which the row names fails. It changes no file of the tree: the
// changed text is laid over it for the go command. It proves no row, and does not look for mutations of its own taste:
// what it changes is what stands under the citation of the row.
//
//	go run ./test/mutate -seed 7 -rows 20
//	go run ./test/mutate -only C063,C165
package main
