package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ceralacca/ceralacca/internal/fsx"
)

// handed is what a command hands over to the running plug-in, a file in the folder spool.
type handed struct {
	Key      string    `json:"key"`
	Kind     string    `json:"kind"` // quota, test, or usage
	Mailbox  string    `json:"mailbox,omitempty"`
	Percent  int       `json:"percent,omitempty"`
	Fullness []sample  `json:"fullness,omitempty"`
	Time     time.Time `json:"time"`
}

// sample is how full a mailbox was.
type sample struct {
	Mailbox string    `json:"mailbox,omitempty"`
	Full    float64   `json:"full"` // 1 is full
	Time    time.Time `json:"time"`
}

// usage is what is known of the space of a mailbox.
type usage struct {
	Samples []sample          `json:"samples"`
	Warned  map[int]time.Time `json:"warned,omitempty"` // by percent
	Filling time.Time         `json:"filling,omitzero"` // when the holder was told that it fills
}

// Bounds of what is said about space.
const (
	sampleWindow = 14 * 24 * time.Hour
	sampleSpan   = time.Hour // two samples that are nearer say nothing
	sampleGap    = time.Hour // nearer ones replace each other
	quotaAgain   = 24 * time.Hour
	quotaClear   = 5 // by how many percent of its space a mailbox must be below a threshold that shall be told again
	fillAgain    = 7 * 24 * time.Hour
)

// maxHanded is how many files may lie there when the plug-in does not run.
const maxHanded = 10_000

// hand puts something into the folder spool. Who takes it runs as another user.
func (s store) hand(h handed) error {
	if files, err := os.ReadDir(s.path("spool")); err == nil && len(files) >= maxHanded {
		return fmt.Errorf("%d files wait in %s, and nobody takes them: the plug-in does not run", len(files), s.path("spool"))
	}
	data, err := json.Marshal(h)
	if err != nil {
		return err
	}
	return fsx.WriteNewBytes(s.path("spool", nameOf("handed "+h.Key)), 0o644, data)
}

// collect takes what commands have handed over. Each file is removed when what it says is on the disk; one that comes
// again after a crash has the same keys.
func (e *engine) collect(ctx context.Context) error {
	return e.store.each("spool", func(name string, data []byte) error {
		var h handed
		if err := json.Unmarshal(data, &h); err != nil {
			e.log.Error("sms: a file in spool is none of ours, and is removed", "file", name)
			return fsx.Remove(e.store.path("spool", name))
		}
		if err := e.handle(ctx, h); err != nil {
			return err
		}
		return fsx.Remove(e.store.path("spool", name))
	})
}

func (e *engine) handle(ctx context.Context, h handed) error {
	h.Mailbox = strings.ToLower(h.Mailbox)
	switch h.Kind {
	case kindTest:
		return e.take(event{Mailbox: h.Mailbox, Kind: kindTest, Taken: e.clock.Now(), name: nameOf("event " + h.Key)})
	case kindQuota:
		return e.quota(h)
	}
	for _, s := range h.Fullness {
		if ctx.Err() != nil {
			return ctx.Err() // it is done again, with the same keys
		}
		if err := e.fullness(strings.ToLower(s.Mailbox), s); err != nil {
			return err
		}
	}
	return nil
}

// quota tells that Dovecot says that a threshold was passed, once a day for each: a mailbox may go to and fro around it.
func (e *engine) quota(h handed) error {
	r := e.rules.of(h.Mailbox)
	if r == nil {
		return nil
	}
	u, err := e.store.usageOf(h.Mailbox)
	if err != nil {
		return err
	}
	if last := u.Warned[h.Percent]; r.wants(kindQuota) && h.Time.Sub(last) >= quotaAgain {
		if err := e.warn(h.Mailbox, h.Percent, h.Key); err != nil {
			return err
		}
		u.warned(h.Percent, h.Time)
		if err := e.store.keepUsage(h.Mailbox, u); err != nil {
			return err
		}
	}
	return e.fullness(h.Mailbox, sample{Full: float64(h.Percent) / 100, Time: h.Time})
}

// warn takes the event that a threshold was passed.
func (e *engine) warn(mailbox string, percent int, key string) error {
	return e.take(event{Mailbox: mailbox, Kind: kindQuota, Percent: percent, Taken: e.clock.Now(), name: nameOf("event " + key)})
}

// fullness notes a sample, and tells the holder of a threshold that was passed, and when the box would fill before long.
func (e *engine) fullness(mailbox string, s sample) error {
	r := e.rules.of(mailbox)
	if r == nil {
		return nil
	}
	u, err := e.store.usageOf(mailbox)
	if err != nil {
		return err
	}
	s.Mailbox = ""
	late := len(u.Samples) > 0 && s.Time.Before(u.Samples[len(u.Samples)-1].Time)
	u.note(s)
	if late { // what was known since is what is told
		return e.store.keepUsage(mailbox, u)
	}
	u.forgive(s.Full)
	if percent := u.passed(s.Full); percent > 0 && r.wants(kindQuota) {
		if err := e.warn(mailbox, percent, fmt.Sprintf("quota %s %d %d", mailbox, percent, s.Time.UnixNano())); err != nil {
			return err
		}
		u.warned(percent, s.Time)
	}
	left, fills := u.left()
	if fills && r.wants(kindFill) && left <= r.within && s.Time.Sub(u.Filling) >= fillAgain {
		days := max(int(math.Ceil(left.Hours()/24)), 1)
		key := fmt.Sprintf("fill %s %d", mailbox, s.Time.UnixNano())
		if err := e.take(event{Mailbox: mailbox, Kind: kindFill, Days: days, Taken: e.clock.Now(), name: nameOf("event " + key)}); err != nil {
			return err
		}
		u.Filling = s.Time
	}
	return e.store.keepUsage(mailbox, u)
}

// thresholds are those of which a sample makes a notice; Dovecot's hook may have others.
func thresholds() []int { return []int{95, 90, 80} }

// passed is the highest threshold at or below a fullness, 0 when that or a higher one was told.
func (u *usage) passed(full float64) int {
	for _, percent := range thresholds() {
		if full*100 < float64(percent) {
			continue
		}
		for told := range u.Warned {
			if told >= percent {
				return 0
			}
		}
		return percent
	}
	return 0
}

func (u *usage) warned(percent int, at time.Time) {
	if u.Warned == nil {
		u.Warned = map[int]time.Time{}
	}
	u.Warned[percent] = at
}

// forgive forgets the thresholds that the mailbox is clearly below again: the next time they are news.
func (u *usage) forgive(full float64) {
	maps.DeleteFunc(u.Warned, func(percent int, _ time.Time) bool { return full*100 < float64(percent-quotaClear) })
}

// note keeps the samples of the window, in order.
func (u *usage) note(s sample) {
	if n := len(u.Samples); n > 1 && s.Time.Sub(u.Samples[n-2].Time) < sampleGap {
		u.Samples = u.Samples[:n-1]
	}
	u.Samples = append(u.Samples, s)
	slices.SortStableFunc(u.Samples, func(a, b sample) int { return a.Time.Compare(b.Time) })
	newest := u.Samples[len(u.Samples)-1].Time
	u.Samples = slices.DeleteFunc(u.Samples, func(s sample) bool { return newest.Sub(s.Time) > sampleWindow })
}

// left is how long the room lasts at the rate at which the box grew over the window: what came less what was deleted.
func (u *usage) left() (time.Duration, bool) {
	if len(u.Samples) < 2 {
		return 0, false
	}
	first, last := u.Samples[0], u.Samples[len(u.Samples)-1]
	span, grown := last.Time.Sub(first.Time), last.Full-first.Full
	if span < sampleSpan || grown <= 0 || last.Full >= 1 {
		return 0, false
	}
	seconds := (1 - last.Full) / grown * span.Seconds()
	if seconds > (365 * 24 * time.Hour).Seconds() {
		return 0, false
	}
	return time.Duration(seconds * float64(time.Second)), true
}

func (s store) usageOf(mailbox string) (usage, error) {
	var u usage
	data, err := os.ReadFile(s.path("usage", nameOf(mailbox)))
	if errors.Is(err, fs.ErrNotExist) {
		return u, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &u)
	}
	return u, err
}

func (s store) keepUsage(mailbox string, u usage) error {
	data, err := json.Marshal(u)
	if err != nil {
		return err
	}
	return fsx.WriteBytes(s.path("usage", nameOf(mailbox)), 0o640, data)
}

// readUsage reads what `doveadm -f tab quota get -A` prints. Of a mailbox with several quota roots the fullest counts.
func readUsage(in io.Reader, now time.Time) ([]sample, error) {
	const try = "run: doveadm -f tab quota get -A | sms quota-usage"
	var out []sample
	lines, columns, at := bufio.NewScanner(in), map[string]int{}, map[string]int{}
	for lines.Scan() {
		fields := strings.Split(lines.Text(), "\t")
		if len(columns) == 0 {
			for i, name := range fields {
				columns[strings.ToLower(name)] = i
			}
			for _, name := range []string{"username", "type", "value", "limit"} {
				if _, there := columns[name]; !there {
					return nil, fmt.Errorf("the first line has no column %q; %s", name, try)
				}
			}
			continue
		}
		if len(fields) < len(columns) || fields[columns["type"]] != "STORAGE" {
			continue
		}
		value, err1 := strconv.ParseFloat(fields[columns["value"]], 64)
		limit, err2 := strconv.ParseFloat(fields[columns["limit"]], 64)
		if err1 != nil || err2 != nil || limit <= 0 { // "-": no limit
			continue
		}
		s := sample{fields[columns["username"]], value / limit, now}
		if i, there := at[s.Mailbox]; there {
			out[i].Full = max(out[i].Full, s.Full)
			continue
		}
		at[s.Mailbox] = len(out)
		out = append(out, s)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(columns) == 0 {
		return nil, errors.New("nothing came, not even the names of the columns: doveadm failed, or no mailbox has a quota; " + try)
	}
	return out, nil
}
