package main

import (
	"fmt"
	"time"
)

// The variants of P1 to P3.
const (
	accessPointName = "access point"
	dkimName        = "opendkim"
	readsName       = "only reads"
)

// volume is how many messages of a size are sent, by how many clients at a time.
type volume struct{ count, sessions int }

var accessVolumes = map[int]volume{10_000: {300, 8}, 1_000_000: {32, 8}, 30_000_000: {4, 2}}

// sized is a size for people.
func sized(n int) string {
	if n < 1_000_000 {
		return fmt.Sprintf("%d KB", n/1000)
	}
	return fmt.Sprintf("%d MB", n/1_000_000)
}

// accessPoint measures messages of a size through the private Postfix with each milter. What comes out is discarded,
// the recipient for the agent too: the access point alone is measured.
func (b *bench) accessPoint(size int) (outcome, error) {
	if o, ok := b.access[size]; ok {
		return o, nil
	}
	b.say("access point, %s", sized(size))
	through := func(address string) func() (sample, error) {
		mario, v := b.env.Users("ALFA")[0], accessVolumes[size]
		l := load{
			network: "tcp", address: address, hello: "EHLO", login: &mario,
			from: mario.Address, to: []string{"someone@discard.example"},
			count: v.count, sessions: v.sessions, text: mail(mario.Address, "someone@discard.example", size),
		}
		return func() (sample, error) { return b.timed(v.count, []string{b.peer.queue}, nil, l) }
	}
	o, err := b.interleave(
		variant{dkimName, through(b.peer.dkim)},
		variant{readsName, through(b.peer.reads)},
		variant{accessPointName, through(b.peer.access)},
	)
	if err == nil {
		b.access[size] = o
	}
	return o, err
}

// timed sends loads side by side and waits until all is delivered.
func (b *bench) timed(count int, queues []string, want expected, loads ...load) (sample, error) {
	if err := want.empty(b.lab); err != nil {
		return sample{}, err
	}
	if err := b.meter.adopt(); err != nil {
		return sample{}, err
	}
	start, err := b.take()
	if err != nil {
		return sample{}, err
	}
	if err := sendAll(b.ctx, loads); err != nil {
		return sample{}, err
	}
	if err := b.await(queues, want); err != nil {
		return sample{}, err
	}
	end, err := b.take()
	return sample{
		count: float64(count), seconds: end.at.Sub(start.at).Seconds(),
		cpu: end.cpu - start.cpu, flushes: end.flushes - start.flushes,
	}, err
}

// reading is what the meters say at one instant.
type reading struct {
	at           time.Time
	cpu, flushes float64
}

func (b *bench) take() (reading, error) {
	cpu, err := b.meter.seconds()
	if err != nil {
		return reading{}, err
	}
	flushes, err := diskFlushes(b.lab.Runtime())
	return reading{time.Now(), cpu, flushes}, err
}

func accessSmall(b *bench) ([]row, error) {
	return b.accessRows([]int{10_000}, func(o outcome, size string, _ int) row {
		return o.compare(size+", messages done", rate, accessPointName, dkimName, atLeast(1))
	})
}

func accessLarge(b *bench) ([]row, error) {
	limits := map[int]float64{1_000_000: 0.75, 30_000_000: 0.65}
	return b.accessRows([]int{1_000_000, 30_000_000}, func(o outcome, size string, n int) row {
		return o.compare(size+", messages done", rate, accessPointName, dkimName, atLeast(limits[n]))
	})
}

func accessCPU(b *bench) ([]row, error) {
	limits := map[int]float64{10_000: 1.40, 1_000_000: 1.35, 30_000_000: 1.35}
	return b.accessRows([]int{10_000, 1_000_000, 30_000_000}, func(o outcome, size string, n int) row {
		return o.compare(size+", CPU of all servers a message", cpu, accessPointName, readsName, atMost(limits[n]))
	})
}

func (b *bench) accessRows(sizes []int, compare func(o outcome, size string, n int) row) ([]row, error) {
	var rows []row
	for _, size := range sizes {
		o, err := b.accessPoint(size)
		if err != nil {
			return rows, err
		}
		rows = append(rows, compare(o, sized(size), size))
	}
	return rows, nil
}
