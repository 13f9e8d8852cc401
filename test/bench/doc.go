// Command bench measures the goals of docs/performance.md on a lab, side by side with a peer in the same run: rounds
// interleaved, the median of the ratios of each round. It is no test: apart from P4 nothing fails for being slow.
//
//	go run ./test/bench -bin bin/ceralacca            every goal, as root
//	go run ./test/bench -bin bin/ceralacca -goal P4   one goal
//	go run ./test/bench … -record                     writes the results into docs/performance.md too
//
// Results go to the terminal and into .bench, a file for each goal.
package main
