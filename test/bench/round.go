package main

import (
	"fmt"
	"slices"
)

// sample is what one variant did in one round.
type sample struct {
	count                 float64 // messages or transactions
	seconds, cpu, flushes float64 // in all
	mib                   float64 // peak of memory, of a process
}

func (s sample) rate() float64       { return s.count / s.seconds }
func (s sample) cpuEach() float64    { return s.cpu / s.count }
func (s sample) flushEach() float64  { return s.flushes / s.count }
func (s sample) secondEach() float64 { return s.seconds / s.count }

// outcome are the samples of each variant, round by round.
type outcome map[string][]sample

// variant is one of the things that are compared.
type variant struct {
	name string
	run  func() (sample, error)
}

// interleave runs all variants once in each round, so that what disturbs the machine disturbs them alike. A round
// before the first warms them up and is not counted.
func (b *bench) interleave(variants ...variant) (outcome, error) {
	all := outcome{}
	for round := range b.rounds + 1 {
		for _, v := range variants {
			s, err := v.run()
			if err == nil {
				err = b.ctx.Err()
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", v.name, err)
			}
			if round == 0 {
				continue
			}
			b.say("round %d of %d: %-12s %8.2f /s  %9.2f ms CPU each  %6.1f flushes each",
				round, b.rounds, v.name, s.rate(), 1e3*s.cpuEach(), s.flushEach())
			all[v.name] = append(all[v.name], s)
		}
	}
	return all, nil
}

// compare makes a row: the goal is a ratio of at least, or at most, want.
func (o outcome) compare(what string, f figure, ours, peer string, want bound) row {
	var a, z, ratios []float64
	for i, s := range o[ours] {
		p := o[peer][i]
		a, z, ratios = append(a, f.of(s)), append(z, f.of(p)), append(ratios, f.of(s)/f.of(p))
	}
	m := median(ratios)
	return row{
		what:  what,
		ours:  fmt.Sprintf(f.format, median(a)),
		peer:  fmt.Sprintf(f.format, median(z)),
		ratio: fmt.Sprintf("%.2f (%.2f–%.2f)", m, slices.Min(ratios), slices.Max(ratios)),
		want:  want.String(),
		holds: want.holds(m),
	}
}

// figure is what is compared of two samples, and how it is printed.
type figure struct {
	of     func(sample) float64
	format string
}

var (
	rate        = figure{sample.rate, "%.2f /s"}
	cpu         = figure{func(s sample) float64 { return 1e3 * s.cpuEach() }, "%.2f ms CPU"}
	flush       = figure{sample.flushEach, "%.1f flushes"}
	resident    = figure{func(s sample) float64 { return s.mib }, "%.1f MiB"}
	second      = figure{sample.secondEach, "%.3f s"}
	millisecond = figure{func(s sample) float64 { return 1e3 * s.secondEach() }, "%.2f ms"}
)

// bound is what a goal asks of a ratio; zero asks nothing.
type bound struct {
	limit float64
	most  bool
}

// none stands where there is no goal.
const none = "–"

func atLeast(f float64) bound { return bound{limit: f} }
func atMost(f float64) bound  { return bound{f, true} }

func (b bound) holds(f float64) bool {
	if b.most {
		return f <= b.limit
	}
	return f >= b.limit
}

// String implements fmt.Stringer.
func (b bound) String() string {
	if b == (bound{}) {
		return none
	}
	if b.most {
		return fmt.Sprintf("≤ %.2f", b.limit)
	}
	return fmt.Sprintf("≥ %.2f", b.limit)
}

func median(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	n := len(list)
	return (list[(n-1)/2] + list[n/2]) / 2
}
