package metrics

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics holds the numbers of one daemon. It is safe for concurrent use; a nil one counts nothing.
type Metrics struct {
	registry  *prometheus.Registry
	counters  map[Counter]*prometheus.CounterVec
	gauges    map[Gauge]prometheus.Gauge
	durations map[Duration]prometheus.Histogram
	plugins   plugins
}

// New makes the numbers of a daemon, all zero.
func New() *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), counters: map[Counter]*prometheus.CounterVec{},
		gauges: map[Gauge]prometheus.Gauge{}, durations: map[Duration]prometheus.Histogram{}}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.plugins = newPlugins(m.registry)
	for _, s := range counters() {
		counter := prometheus.NewCounterVec(prometheus.CounterOpts{Name: s.name, Help: s.help}, []string{s.label})
		m.registry.MustRegister(counter)
		m.counters[Counter(s.name)] = counter
	}
	for _, s := range gauges() {
		gauge := prometheus.NewGauge(prometheus.GaugeOpts{Name: s.name, Help: s.help})
		m.registry.MustRegister(gauge)
		m.gauges[Gauge(s.name)] = gauge
	}
	for _, s := range durations() {
		histogram := prometheus.NewHistogram(prometheus.HistogramOpts{Name: s.name, Help: s.help,
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 10)})
		m.registry.MustRegister(histogram)
		m.durations[Duration(s.name)] = histogram
	}
	return m
}

// Add adds n, not negative, to a counter under the value of its label.
func (m *Metrics) Add(c Counter, label string, n int) {
	if m == nil {
		return
	}
	if counter, known := m.counters[c]; known {
		counter.WithLabelValues(label).Add(float64(max(n, 0)))
	}
}

// Count adds one to a counter under the value of its label.
func (m *Metrics) Count(c Counter, label string) { m.Add(c, label, 1) }

// Set sets a gauge.
func (m *Metrics) Set(g Gauge, value float64) {
	if m == nil {
		return
	}
	if gauge, known := m.gauges[g]; known {
		gauge.Set(value)
	}
}

// Move adds delta to a gauge.
func (m *Metrics) Move(g Gauge, delta float64) {
	if m == nil {
		return
	}
	if gauge, known := m.gauges[g]; known {
		gauge.Add(delta)
	}
}

// Observe records how long something took.
func (m *Metrics) Observe(d Duration, took time.Duration) {
	if m == nil {
		return
	}
	if histogram, known := m.durations[d]; known {
		histogram.Observe(took.Seconds())
	}
}

// Handler answers a scrape at any path.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// ErrAddress says that the metrics would be seen from other machines, or that the address cannot be read.
var ErrAddress = errors.New("metrics: not a loopback address and port")

// Listen opens address, an IP address of the loopback, or localhost, and a port; anything else is [ErrAddress]. The caller closes it,
// or lets [Metrics.Serve] do so.
func Listen(address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("%w: %q", ErrAddress, address)
	}
	if host == "localhost" {
		host, address = "127.0.0.1", strings.Replace(address, "localhost", "127.0.0.1", 1)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("%w: %q", ErrAddress, address)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	return listener, nil
}

// Serve answers scrapes of /metrics on listener until ctx ends, and then closes it and returns nil.
func (m *Metrics) Serve(ctx context.Context, listener net.Listener) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", m.Handler())
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() }) // a scrape that is cut off comes again
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("metrics: %w", err)
	}
	return nil
}
