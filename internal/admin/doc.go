// Package admin lets commands ask the running agent, over a unix socket that only its user and root may open: HTTP with
// lines of JSON.
//
// It does not know what is asked for, changes nothing, and is not for other machines.
package admin
