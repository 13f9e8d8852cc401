// Package keeper makes packages of deposits when their day is over. What it decides it writes down before it acts, so that
// a keeper that is killed is continued by the next one to the same package. One keeper works at a time: its
// caller holds the lock. It does not take deposits and does not verify.
package keeper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/internal/fsx"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/deposit"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/pack"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/stamp"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/store"
	"github.com/ceralacca/ceralacca/signer"
)

// Keeper makes packages. All but what is unexported is set by who makes it.
type Keeper struct {
	Box       *deposit.Box
	Catalogue Catalogue
	Store     store.Store
	Stamps    stamp.Authority
	Key       signer.Key
	Parts     pack.Parts // the authorities and the instructions alone
	Owner     string     // who preserves
	OwnerID   string     // see [sincro.GoodID]; may be empty
	Manual    string     // the document that entitles him
	Version   string
	Zone      *time.Location // whose midnight ends a day
	Delay     time.Duration  // after midnight, for what is late
	Clock     clock.Clock
	Log       *slog.Logger
	// Books is locked while documents go from the spool into a package that is entered, when both or none would count.
	Books sync.Locker

	mu      sync.Mutex
	state   State
	reached bool // the store, and all went well
}

// State is how the keeper is.
type State struct {
	Waiting  int    // groups whose day is over and that are not preserved
	Failures int    // passes in a row with an error
	Problem  string // of the last pass
}

// State returns how it is.
func (k *Keeper) State() State {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state
}

// Day is the legal day of an instant.
func Day(t time.Time, zone *time.Location) string { return t.In(zone).Format(time.DateOnly) }

// over says whether a day has ended, and the delay with it.
func (k *Keeper) over(day string) bool {
	begin, err := time.ParseInLocation(time.DateOnly, day, k.Zone)
	return err == nil && !k.Clock.Now().Before(begin.AddDate(0, 0, 1).Add(k.Delay))
}

// Pause between passes: usual, and how it grows up to longest while something fails.
const (
	usual    = 10 * time.Second
	firstTry = time.Second
	longest  = 10 * time.Minute
)

// Run makes packages until ctx ends. jitter spreads those who wait, between 0 and 1.
func (k *Keeper) Run(ctx context.Context, jitter func() float64) {
	for ctx.Err() == nil {
		err := k.Pass(ctx)
		pause := usual
		if err != nil {
			failures := k.State().Failures
			pause = min(firstTry<<min(failures, 10), longest)
			pause += time.Duration(jitter() * float64(pause) / 2)
			k.Log.Warn("packages wait to be preserved", "problem", err, "failures", failures, "again_in", pause)
		}
		if k.Clock.Sleep(ctx, pause) != nil {
			return
		}
	}
}

// pass is one round over all groups, with what was found to be down: of a store or an authority that does not answer each
// other group would wait for as long.
type pass struct{ store, stamps error }

// errSkipped says that a package waits for what another one has found down.
var errSkipped = errors.New("it waits for what is down")

// Pass makes all the packages that can be made now. What fails does not keep others from being made; they are signed and
// stamped also while the store is down.
func (k *Keeper) Pass(ctx context.Context) error {
	p := &pass{store: k.reach(ctx)}
	groups, err := k.Box.Groups()
	err = errors.Join(err, p.store)
	waiting := 0
	for _, g := range groups {
		if !k.over(g.Day) {
			continue
		}
		e := k.preserve(ctx, p, g)
		if e == nil {
			continue
		}
		waiting++
		if !errors.Is(e, errSkipped) {
			err = errors.Join(err, fmt.Errorf("%s, %s: %w", g.Mailbox, g.Day, e))
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.reached = err == nil
	k.state.Waiting, k.state.Problem = waiting, ""
	if err == nil {
		k.state.Failures = 0
		return nil
	}
	k.state.Failures++
	k.state.Problem = err.Error()
	return err
}

// reach asks a store that may be out of reach, unless all went well the last time: whoever wrote a wrong key learns it before
// the first night.
func (k *Keeper) reach(ctx context.Context) error {
	far, ok := k.Store.(store.Reacher)
	k.mu.Lock()
	known := k.reached
	k.mu.Unlock()
	if !ok || known {
		return nil
	}
	if err := far.Reach(ctx); err != nil {
		return fmt.Errorf("the store: %w", err)
	}
	return nil
}

// preserve makes all packages of a group.
func (k *Keeper) preserve(ctx context.Context, p *pass, g deposit.Group) error {
	for ctx.Err() == nil {
		plan, there, err := k.plan(g)
		if err != nil {
			return err
		}
		if !there {
			k.Box.Close(g)
			return nil
		}
		if err := k.carryOut(ctx, p, g, plan); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// path is a file of the package in hand. The number keeps what is left of an earlier one apart.
func (k *Keeper) path(g deposit.Group, number int, what string) string {
	return filepath.Join(k.Box.GroupDir(g), fmt.Sprintf("%03d.%s", number, what))
}

// plan returns the package in hand or decides the next one.
func (k *Keeper) plan(g deposit.Group) (plan pack.Plan, there bool, err error) {
	last, err := k.Catalogue.Last(g.Mailbox, g.Day)
	if err != nil {
		return plan, false, err
	}
	for _, number := range []int{last, last + 1} { // the last may be stored and its documents not all filed
		text, err := os.ReadFile(k.path(g, number, "plan"))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return plan, false, err
		}
		return plan, true, json.Unmarshal(text, &plan)
	}
	members, err := k.Box.Members(g)
	if err != nil || len(members) == 0 {
		return plan, false, err
	}
	plan = pack.Plan{Mailbox: g.Mailbox, Day: g.Day, Number: last + 1, Created: k.Clock.Now().In(k.Zone).Truncate(time.Second),
		Version: k.Version, Owner: k.Owner, OwnerID: k.OwnerID, Manual: k.Manual, Members: members[:min(len(members), pack.MaxMembers)]}
	text, err := json.Marshal(plan)
	if err != nil {
		return plan, false, err
	}
	return plan, true, fsx.WriteBytes(k.path(g, plan.Number, "plan"), 0o600, text)
}

// carryOut stores a package, enters it, files its documents, and lets go of the plan last.
func (k *Keeper) carryOut(ctx context.Context, p *pass, g deposit.Group, plan pack.Plan) error {
	entered, err := k.Catalogue.Has(plan.Mailbox, plan.Day, plan.Number)
	if err != nil {
		return err
	}
	if !entered {
		if err := k.put(ctx, p, g, plan); err != nil {
			return err
		}
	}
	if err := k.file(plan, entered); err != nil {
		return err
	}
	for _, what := range []string{"p7m", "tsr", "parts", "plan"} {
		if err := fsx.Remove(k.path(g, plan.Number, what)); err != nil {
			return err
		}
	}
	k.Log.Info("package preserved", "package", plan.Name(), "documents", len(plan.Members), "bytes", plan.Bytes())
	return nil
}

func (k *Keeper) put(ctx context.Context, p *pass, g deposit.Group, plan pack.Plan) error {
	parts, err := k.seal(ctx, p, g, plan)
	if err != nil {
		return err
	}
	if p.store != nil {
		return errSkipped
	}
	if err := k.Store.Put(ctx, plan.Name(), plan.Files(parts, k.Box.Content)); err != nil {
		k.mu.Lock()
		k.reached = false
		k.mu.Unlock()
		p.store = k.reach(ctx) // is it this package alone?
		return fmt.Errorf("the store: %w", err)
	}
	return nil
}

// filedAtATime is how many documents are filed at a time: the disk flushes for all who wait at once.
const filedAtATime = 16

// file enters a package that is stored, and files its documents.
func (k *Keeper) file(plan pack.Plan, entered bool) error {
	k.Books.Lock()
	defer k.Books.Unlock()
	if !entered {
		entry := Entry{Mailbox: plan.Mailbox, Day: plan.Day, Number: plan.Number, Items: int64(len(plan.Members)), Bytes: plan.Bytes()}
		if err := k.Catalogue.Enter(entry); err != nil {
			return err
		}
	}
	var group errgroup.Group
	group.SetLimit(filedAtATime)
	for i, m := range plan.Members {
		group.Go(func() error { return k.Box.File(m, plan.Name(), pack.Object(i)) })
	}
	return group.Wait()
}

// seal signs and stamps. What was made once is on disk and taken from there, all of it: of a package that is half in the
// store no byte may change because program or configuration are others now.
func (k *Keeper) seal(ctx context.Context, p *pass, g deposit.Group, plan pack.Plan) (parts pack.Parts, err error) {
	text, err := once(k.path(g, plan.Number, "parts"), func() ([]byte, error) { return json.Marshal(k.Parts) })
	if err != nil {
		return parts, err
	}
	if err := json.Unmarshal(text, &parts); err != nil {
		return parts, err
	}
	parts.Signed, err = once(k.path(g, plan.Number, "p7m"), func() ([]byte, error) {
		index, err := plan.Index()
		if err != nil {
			return nil, err
		}
		return signer.SealAttached(ctx, k.Key, index)
	})
	if err != nil {
		return parts, fmt.Errorf("the signature: %w", err)
	}
	if parts.Index, _, _, err = signer.OpenAttached(parts.Signed); err != nil {
		return parts, fmt.Errorf("the signature: %w", err)
	}
	parts.Stamp, err = once(k.path(g, plan.Number, "tsr"), func() ([]byte, error) { return k.stamp(ctx, p, parts.Signed) })
	if err != nil {
		return parts, fmt.Errorf("the time stamp: %w", err)
	}
	return parts, nil
}

func (k *Keeper) stamp(ctx context.Context, p *pass, signed []byte) ([]byte, error) {
	if p.stamps != nil {
		return nil, errSkipped
	}
	answer, err := k.Stamps.Stamp(ctx, signed)
	p.stamps = err
	return answer, err
}

// once reads a file, or makes it.
func once(path string, fn func() ([]byte, error)) ([]byte, error) {
	text, err := os.ReadFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return text, err
	}
	if text, err = fn(); err != nil {
		return nil, err
	}
	return text, fsx.WriteBytes(path, 0o600, text)
}
