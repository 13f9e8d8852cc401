package metrics_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/internal/metrics"
)

func scrape(t *testing.T, m *metrics.Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func TestNumbers(t *testing.T) {
	m, other := metrics.New(), metrics.New()
	m.Count(metrics.Effects, "delivery")
	m.Add(metrics.Effects, "delivery", 2)
	m.Add(metrics.Effects, "delivery", -5) // it only grows
	m.Count(metrics.Alarms, "contradiction")
	m.Set(metrics.CRLExpires, 1e9)
	m.Move(metrics.InHand, 3)
	m.Move(metrics.InHand, -1)
	m.Observe(metrics.SealTime, 3*time.Millisecond)
	text := scrape(t, m)
	for _, want := range []string{
		`ceralacca_agent_effects_total{effect="delivery"} 3`,
		`ceralacca_alarms_total{alarm="contradiction"} 1`,
		`ceralacca_crl_expires_timestamp_seconds 1e+09`,
		`ceralacca_transactions_in_hand 2`,
		`ceralacca_seal_seconds_bucket{le="0.001"} 0`,
		`ceralacca_seal_seconds_bucket{le="0.004"} 1`,
		`process_resident_memory_bytes`,
		`go_goroutines`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	if strings.Contains(scrape(t, other), `effect="delivery"`) {
		t.Error("two daemons in one process share their numbers")
	}
}

// Every name that the program may use is known, so that no count is lost.
func TestEveryNameIsKnown(t *testing.T) {
	m := metrics.New()
	for _, c := range []metrics.Counter{metrics.Transactions, metrics.Refusals, metrics.Problems, metrics.Scans, metrics.Effects, metrics.Replies,
		metrics.HandOvers, metrics.Repeats, metrics.Commits, metrics.Updates, metrics.Alarms, metrics.Panics, metrics.Errors,
		metrics.RevocationFetches, metrics.RevocationUnknown, metrics.OCSPAnswers} {
		m.Count(c, "x")
		if text := scrape(t, m); !strings.Contains(text, string(c)+"{") {
			t.Errorf("the counter %s is not scraped", c)
		}
	}
	for _, g := range []metrics.Gauge{metrics.DirectoryTime, metrics.DirectoryChecked, metrics.DirectoryWaiting,
		metrics.DirectoryProblems, metrics.CRLExpires, metrics.RevocationChecked, metrics.CertificateExpires,
		metrics.InHand, metrics.Due, metrics.Unfinished} {
		m.Set(g, 7)
		if text := scrape(t, m); !strings.Contains(text, string(g)+" 7") {
			t.Errorf("the gauge %s is not scraped", g)
		}
	}
	for _, d := range []metrics.Duration{metrics.SealTime, metrics.SyncTime, metrics.TransactionTime, metrics.OutTime} {
		m.Observe(d, time.Second)
		if text := scrape(t, m); !strings.Contains(text, string(d)+"_count 1") {
			t.Errorf("the duration %s is not scraped", d)
		}
	}
}

func TestNilCountsNothing(t *testing.T) {
	var m *metrics.Metrics
	m.Count(metrics.Effects, "x")
	m.Set(metrics.Due, 1)
	m.Move(metrics.Due, 1)
	m.Observe(metrics.SealTime, time.Second)
}

func TestOnlyLoopback(t *testing.T) {
	for _, address := range []string{"0.0.0.0:9100", "[::]:9100", ":9100", "192.0.2.1:9100", "localhost", "example.org:9100", ""} {
		if listener, err := metrics.Listen(address); !errors.Is(err, metrics.ErrAddress) {
			t.Errorf("Listen(%q): %v, want ErrAddress", address, err)
			if err == nil {
				_ = listener.Close()
			}
		}
	}
}

func TestServe(t *testing.T) {
	listener, err := metrics.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := metrics.New()
	m.Count(metrics.Effects, "delivery")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- m.Serve(ctx, listener) }()
	for path, want := range map[string]int{"/metrics": http.StatusOK, "/": http.StatusNotFound} {
		response, err := http.Get("http://" + listener.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || response.StatusCode != want || strings.Contains(string(body), "ceralacca_agent_effects_total") != (want == http.StatusOK) {
			t.Errorf("%s: status %d, %v; want %d", path, response.StatusCode, err, want)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Serve: %v", err)
	}
}
