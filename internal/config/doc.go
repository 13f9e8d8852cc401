// Package config is the configuration: the file format, what makes a file wrong and how to write it right, the
// reference in docs/config.md and the sample file, all from one list of keys.
//
// It does not load what the file names (keys, certificates, the directory), does not reload, and knows no defaults but
// those of the list.
package config
