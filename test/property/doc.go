// Package property tries random walks on the parts that see to it that everything happens once, and makes the walk that
// found a fault short. Its tests hold a million steps against a model; those of package lda walk the whole agent.
//
// It knows no step of its own: what a step is belongs to the test.
package property
