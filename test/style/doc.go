// Package style holds the tests over the whole tree: layers, libraries, sizes,
// comments, purity. Every rule is a function from the tree to sentences, and is
// itself tested on a tree with a seeded fault.
//
// It does not judge what a linter judges (gofmt, vet, staticcheck) and has no
// code that the product could import.
package style
