// Package secret reads files that nobody else may read: keys, passwords. It does not know what is in them and keeps
// nothing.
package secret
