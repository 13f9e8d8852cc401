// Package contractv2 is made of the .proto files beside it, whose comments are the reference. It has no code of its own.
package contractv2
