// Package foreign writes messages as other providers do: from parts, byte by byte, in the spellings of the two families
// that exist, signed with a CMS of its own. It uses none of the product's composers, encoders, words or cryptographic
// messages, so that a fault of ours cannot hide in what tests it. It judges nothing; the tests in it do.
package foreign
