// Package plugins holds the tests of the conformance kit on real plug-ins: those with a seeded fault in bad, and the
// examples for authors. It has no code of its own.
package plugins
