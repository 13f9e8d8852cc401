package main

import (
	"context"
	"strings"

	"golang.org/x/sync/errgroup"
)

// flow is a kind of complete transaction.
type flow struct {
	remote bool // between two providers
	size   int
}

// The variants of P5, P6 and P8.
const (
	certifiedName = "certified"
	mailOnlyName  = "mail only"
)

var flowVolumes = map[int]volume{10_000: {120, 8}, 1_000_000: {16, 4}, 30_000_000: {3, 3}}

// receiptSize is that of the two small messages of a transaction.
const receiptSize = 4000

// names of a flow: who sends, who receives, and the service mailbox that gets the take-charge receipt.
func (b *bench) parties(f flow) (sender, recipient, service box) {
	recipient = box(b.lab.Alfa.Users[1].Address)
	if f.remote {
		recipient = box(b.lab.Beta.Users[0].Address)
	}
	return box(b.lab.Alfa.Users[0].Address), recipient, box(b.lab.Alfa.ServiceUser.Address)
}

// transactions measures complete transactions: submission, acceptance receipt, envelope delivered, take-charge receipt,
// delivery receipt with the original. The peer moves four messages of these sizes to the same mailboxes by as many
// queues, without TLS, milter, signature or log.
func (b *bench) transactions(f flow) (outcome, error) {
	if o, ok := b.flows[f]; ok {
		return o, nil
	}
	where := "within alfa"
	if f.remote {
		where = "alfa to beta"
	}
	b.say("transactions %s, %s", where, sized(f.size))
	o, err := b.interleave(variant{mailOnlyName, func() (sample, error) { return b.mailOnly(f) }},
		variant{certifiedName, func() (sample, error) { return b.certified(f) }})
	if err == nil {
		b.flows[f] = o
	}
	return o, err
}

// arrivals are what both variants leave in the mailboxes.
func (b *bench) arrivals(f flow) expected {
	n := flowVolumes[f.size].count
	sender, recipient, service := b.parties(f)
	return expected{sender: 2 * n, recipient: n, service: n}
}

func (b *bench) certified(f flow) (sample, error) {
	v, mario := flowVolumes[f.size], b.env.Users("ALFA")[0]
	_, recipient, _ := b.parties(f)
	return b.timed(v.count, append(queues(b.lab, b.lab.Alfa), queues(b.lab, b.lab.Beta)...), b.arrivals(f), load{
		network: "tcp", address: b.peer.submission, hello: "EHLO", login: &mario,
		from: mario.Address, to: []string{string(recipient)},
		count: v.count, sessions: v.sessions, text: mail(mario.Address, string(recipient), f.size),
	})
}

func (b *bench) mailOnly(f flow) (sample, error) {
	v := flowVolumes[f.size]
	sender, recipient, service := b.parties(f)
	one := func(to string, size int) load {
		from := b.lab.Alfa.PECAddress
		return load{
			network: "tcp", address: b.peer.plain, hello: "EHLO", from: from, to: []string{to},
			count: v.count, sessions: v.sessions, text: mail(from, to, size),
		}
	}
	across := func(x box) string { return string(x) }
	if f.remote {
		across = b.overHop
	}
	return b.timed(v.count, []string{b.peer.queue}, b.arrivals(f),
		one(across(recipient), f.size), one(string(sender), receiptSize), one(across(service), receiptSize), one(across(sender), f.size))
}

// overHop is the address by which the private Postfix reaches a mailbox through a second queue.
func (b *bench) overHop(x box) string {
	name, domain, _ := strings.Cut(string(x), "@")
	if domain == b.lab.Beta.Domain {
		return name + "@to-beta.example"
	}
	return name + "@to-alfa.example"
}

func sendAll(ctx context.Context, loads []load) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, l := range loads {
		group.Go(func() error { return l.send(ctx) })
	}
	return group.Wait()
}

func localTransactions(b *bench) ([]row, error) {
	return b.flowRows(false, map[int]float64{10_000: 1.00, 1_000_000: 0.90, 30_000_000: 0.75})
}

func remoteTransactions(b *bench) ([]row, error) {
	return b.flowRows(true, map[int]float64{10_000: 0.75, 1_000_000: 0.55, 30_000_000: 0.45})
}

func (b *bench) flowRows(remote bool, limits map[int]float64) ([]row, error) {
	var rows []row
	for _, size := range []int{10_000, 1_000_000, 30_000_000} {
		o, err := b.transactions(flow{remote, size})
		if err != nil {
			return rows, err
		}
		rows = append(rows,
			o.compare(sized(size)+", transactions done", rate, certifiedName, mailOnlyName, atLeast(limits[size])),
			o.compare(sized(size)+", CPU of all servers a transaction", cpu, certifiedName, mailOnlyName, bound{}))
	}
	return rows, nil
}

// flushes counts those of the disk: of both variants, whoever else uses the disk.
func flushes(b *bench) ([]row, error) {
	o, err := b.transactions(flow{size: 10_000})
	if err != nil {
		return nil, err
	}
	return []row{o.compare("10 KB, disk flushes a transaction", flush, certifiedName, mailOnlyName, atMost(1))}, nil
}
