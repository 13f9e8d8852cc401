// Package check is the conformance kit: it holds a plug-in against every rule of the contract that can be seen from
// outside, one line each.
//
// It does not judge whether an antivirus finds viruses or a keeper keeps for years.
package check
