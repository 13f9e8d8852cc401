// Package examine says what a message is, who certified what and when, and what agrees: the work of ceralacca verify.
//
// It judges files, not traffic: it decides nothing about delivery, talks to nobody and keeps no state.
package examine
