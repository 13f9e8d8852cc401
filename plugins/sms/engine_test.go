package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/plugins"
)

// line is a channel of a test: it takes everything, or answers as it is told.
type line struct {
	mu     sync.Mutex
	answer answer
	got    []parcel
	at     []time.Time
	tries  int
}

var _ channel = (*line)(nil)

func (l *line) name() string         { return "line" }
func (l *line) prepare(parcel) error { return nil }
func (l *line) before() legState     { return trying }
func (l *line) once() bool           { return false }

func (l *line) send(_ context.Context, p parcel, _ bool) (answer, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tries++
	if l.answer != taken {
		return l.answer, errors.New("not today")
	}
	l.got, l.at = append(l.got, p), append(l.at, time.Now())
	return taken, nil
}

func (l *line) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tries
}

func (l *line) set(a answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answer = a
}

// texts are what was taken since the last call.
func (l *line) texts() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []string
	for _, p := range l.got {
		out = append(out, p.to+" "+p.text)
	}
	l.got = nil
	return out
}

const box1 = "mario@alfa.example"

// world is an engine in a bubble of time, which begins at midnight UTC of 1 January 2000: 01:00 in Rome.
type world struct {
	t     *testing.T
	c     config
	line  *line
	e     *engine
	end   func()
	calls int
}

func newWorld(t *testing.T, rule string) *world {
	t.Helper()
	dir := t.TempDir()
	rome, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, line: &line{answer: taken}}
	w.c = config{state: dir, rules: filepath.Join(dir, "rules.json"), zone: rome, giveUp: 3 * 24 * time.Hour, workers: 2, sms: w.line, mail: w.line}
	w.rules(rule)
	w.start()
	return w
}

func (w *world) rules(rule string) {
	text := fmt.Sprintf(`{"mailboxes": {%q: %s}}`, box1, rule)
	if err := os.WriteFile(w.c.rules, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) start() {
	w.t.Helper()
	e, err := open(w.c, clock.System{}, slog.New(slog.DiscardHandler))
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		e.run(ctx)
		close(ended)
	}()
	w.e, w.end = e, func() { cancel(); <-ended }
	time.Sleep(time.Second)
}

func (w *world) event(kind string) {
	w.t.Helper()
	w.calls++
	w.again(kind, w.calls)
}

func (w *world) again(kind string, n int) {
	w.t.Helper()
	got, err := w.e.Notify(w.t.Context(), plugins.Event{Key: fmt.Sprint("key ", n), Mailbox: box1, Name: kind})
	if err != nil || got.Outcome != plugins.Done || got.Reference == "" {
		w.t.Errorf("Notify = %+v, %v", got, err)
	}
}

func (w *world) want(what string, texts ...string) {
	w.t.Helper()
	got := w.line.texts()
	if strings.Join(got, "|") != strings.Join(texts, "|") {
		w.t.Errorf("%s: sent %q, want %q", what, got, texts)
	}
}

const (
	one = "+39340 Hai un nuovo messaggio nella tua casella PEC."
	two = "+39340 Hai 2 nuovi messaggi nella tua casella PEC."
)

func numbered(text string) string { return strings.Replace(text, "+39340", "+393401234567", 1) }

func TestEachIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, `{"numbers": ["+393401234567"], "notice_address": "m@out.example"}`)
		w.event("delivered")
		time.Sleep(2 * time.Second)
		w.want("a message", numbered(one), "m@out.example Hai un nuovo messaggio nella tua casella PEC.")
		w.again("delivered", 1)
		w.event("accepted") // is not wanted
		time.Sleep(time.Minute)
		w.want("the same key, and a kind that nobody wants")
		w.end()
		w.start()
		w.again("delivered", 1)
		time.Sleep(time.Minute)
		w.want("the same key after a restart")
		w.end()
	})
}

func TestQuietHoursAreThoseOfTheZoneAndEndInOneDigest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, `{"numbers": ["+393401234567"], "quiet_hours": "22:00-08:00"}`) // it is 01:00 in Rome
		w.event("delivered")
		w.event("delivered")
		time.Sleep(3 * time.Hour)
		w.end()
		w.start()
		time.Sleep(4*time.Hour - time.Minute)
		w.want("at 07:59")
		time.Sleep(2 * time.Minute)
		w.want("at 08:01", numbered(two))
		w.end()
	})
}

func TestDigestAndCapHoldOverARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, `{"numbers": ["+393401234567"], "digest": "1h", "daily_cap": 2}`)
		w.event("delivered")
		time.Sleep(time.Minute)
		w.want("the first", numbered(one))
		w.event("delivered")
		w.event("delivered")
		time.Sleep(time.Minute)
		w.end()
		w.start()
		time.Sleep(30 * time.Minute)
		w.want("within the hour")
		time.Sleep(30 * time.Minute)
		w.want("after the hour", numbered(two))
		w.event("delivered")
		time.Sleep(2 * time.Hour)
		w.end()
		w.start()
		time.Sleep(18 * time.Hour) // not yet midnight in Rome
		w.want("over the cap")
		time.Sleep(2 * time.Hour)
		w.want("the next day", numbered(one))
		w.end()
	})
}

// A gateway that was down for a day is sent one notice per class when it returns, and was not bothered meanwhile.
func TestADayWithoutGatewayEndsInOneNotice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, `{"numbers": ["+393401234567"], "daily_cap": 1000}`)
		w.line.set(later)
		for range 48 {
			w.event("delivered")
			time.Sleep(30 * time.Minute)
		}
		if problem := w.e.Health().Problem; !strings.Contains(problem, "line does not work since 2000-01-01 01:0") {
			t.Errorf("Health says %q", problem)
		}
		w.end()
		w.line.set(taken)
		w.start()
		time.Sleep(time.Hour)
		w.want("when it is back", "+393401234567 Hai 48 nuovi messaggi nella tua casella PEC.")
		if n := w.line.count(); n > 200 {
			t.Errorf("it was tried %d times in a day", n)
		}
		if problem := w.e.Health().Problem; problem != "" {
			t.Errorf("Health says %q", problem)
		}
		w.end()
	})
}

// What nobody knows is asked again with the same id, and nothing is added to it.
func TestWhatIsUnknownKeepsItsID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, `{"numbers": ["+393401234567"]}`)
		w.line.set(perhaps)
		w.event("delivered")
		time.Sleep(10 * time.Second)
		w.event("delivered")
		time.Sleep(time.Minute)
		w.end()
		w.line.set(taken)
		w.start()
		time.Sleep(time.Hour)
		w.want("afterwards", numbered(one), numbered(one))
		w.end()
	})
}

func TestGivingUpAndRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, `{"numbers": ["+393401234567"]}`)
		w.end()
		w.c.giveUp = 6 * time.Hour
		w.start()
		w.line.set(never)
		w.event("delivered")
		time.Sleep(time.Minute)
		if n := w.line.count(); n != 1 {
			t.Errorf("what is refused was tried %d times", n)
		}
		w.line.set(later)
		w.event("delivered")
		time.Sleep(7 * time.Hour)
		w.line.set(taken)
		time.Sleep(time.Hour)
		w.want("what is too old")
		w.end()
	})
}

func TestQuotaAndFill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, `{"numbers": ["+393401234567"], "label": "studio"}`)
		type printed struct{ out, errors strings.Builder }
		run := func(in string, args ...string) {
			t.Helper()
			var p printed
			args = append(args[:1:1], append([]string{"--state", w.c.state}, args[1:]...)...)
			if code := (command{clock.System{}, strings.NewReader(in), &p.out, &p.errors}).run(args); code != 0 {
				t.Errorf("%q: exit code %d, %s", args, code, p.errors.String())
			}
		}
		run("", "quota-warning", box1, "80")
		time.Sleep(5 * time.Second)
		w.want("80 %", "+393401234567 La tua casella PEC (studio) ha superato il 80% dello spazio. Se si riempie, i messaggi vengono respinti: fai spazio.")
		run("", "quota-warning", box1, "80")
		time.Sleep(5 * time.Second)
		w.want("80 % again")
		time.Sleep(12 * time.Hour)
		// 1 % in half a day: 19 % are left.
		run("Username\tQuota name\tType\tValue\tLimit\t%\n"+box1+"\tUser quota\tSTORAGE\t81\t100\t81\n"+box1+"\tUser quota\tMESSAGE\t5\t-\t0\n", "quota-usage")
		time.Sleep(5 * time.Second)
		w.want("fills", "+393401234567 Al ritmo attuale la tua casella PEC (studio) sara' piena tra 10 giorni. Fai spazio, o chiedi ricevute di consegna brevi o sintetiche.")
		run("", "test", box1)
		time.Sleep(5 * time.Second)
		w.want("test", "+393401234567 Messaggio di prova degli avvisi PEC (studio).")
		run("", "status")
		w.end()
	})
}

func TestRulesThatAreWrongLeaveTheOldOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, `{"numbers": ["+393401234567"]}`)
		w.rules(`{"numbers": ["340"]}`)
		time.Sleep(3 * time.Second)
		w.event("delivered")
		time.Sleep(3 * time.Second)
		w.want("with the old rules", numbered(one))
		if problem := w.e.Health().Problem; !strings.Contains(problem, `numbers: "340" is none`) {
			t.Errorf("Health says %q", problem)
		}
		w.end()
	})
}

func TestRulesNameWhatIsWrong(t *testing.T) {
	rome, _ := time.LoadLocation("Europe/Rome")
	for text, want := range map[string]string{
		`{"mailboxes": {"a@b.example": {"numbers": ["1"]}}}`:                                      "write it as +39",
		`{"mailboxes": {"a@b.example": {"numbers": ["+393401234567"], "quiet_hours": "x"}}}`:      "quiet_hours",
		`{"mailboxes": {"a@b.example": {"numbers": ["+393401234567"], "kinds": ["x"]}}}`:          "kinds",
		`{"mailboxes": {"a@b.example": {"numbers": ["+393401234567"], "digest": "2d"}}}`:          "more than a day",
		`{"mailboxes": {"a@b.example": {"numbers": ["+393401234567"], "texts": {"x": "y"}}}}`:     "texts",
		`{"mailboxes": {"a@b.example": {"numbers": ["+393401234567"], "texts": {"mail": "{{"}}}}`: "texts: mail",
		`{"mailboxes": {"a@b.example": {"notice_address": "a@b.example"}}}`:                       "the mailbox itself",
		`{"mailboxes": {"a@b.example": {}}}`:                                                      "neither numbers",
		"{\n\"mailboxes\": {\"a@b.example\": {\"nmbers\": []}}}":                                  `line 2: json: unknown field "nmbers"`,
	} {
		_, err := parseRules([]byte(text), config{zone: rome, sms: &line{}, mail: &line{}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
