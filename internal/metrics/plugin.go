package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// plugins are the numbers of plug-ins. Their names and measures come from the configuration and from the plug-ins that it
// pins, so they are few.
type plugins struct {
	calls    *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	restarts *prometheus.CounterVec
	up       *prometheus.GaugeVec
	healthy  *prometheus.GaugeVec
	measures *prometheus.GaugeVec
	waiting  *prometheus.GaugeVec
	refused  *prometheus.GaugeVec
	oldest   *prometheus.GaugeVec
}

func newPlugins(registry *prometheus.Registry) plugins {
	p := plugins{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "ceralacca_plugin_calls_total",
			Help: "Calls of plug-ins by what became of them."}, []string{"plugin", "call", "outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "ceralacca_plugin_call_seconds",
			Help: "Time of a call of a plug-in, waiting included.", Buckets: prometheus.ExponentialBuckets(0.001, 4, 10)},
			[]string{"plugin", "call"}),
		restarts: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "ceralacca_plugin_restarts_total",
			Help: "Processes of plug-ins that ended and were replaced."}, []string{"plugin"}),
		up: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "ceralacca_plugin_up",
			Help: "1 while the plug-in runs."}, []string{"plugin"}),
		healthy: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "ceralacca_plugin_healthy",
			Help: "1 while the plug-in says that it is well."}, []string{"plugin"}),
		measures: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "ceralacca_plugin_measure",
			Help: "What a plug-in measures of itself."}, []string{"plugin", "measure"}),
		waiting: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "ceralacca_plugin_events_waiting",
			Help: "Events that a plug-in has not taken."}, []string{"plugin"}),
		refused: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "ceralacca_plugin_events_refused",
			Help: "Events that a plug-in has refused for good, and that are kept."}, []string{"plugin"}),
		oldest: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "ceralacca_plugin_events_oldest_seconds",
			Help: "Age of the oldest event that waits for a plug-in."}, []string{"plugin"}),
	}
	registry.MustRegister(p.calls, p.seconds, p.restarts, p.up, p.healthy, p.measures, p.waiting, p.refused, p.oldest)
	return p
}

// PluginCall counts a call of a plug-in and what became of it.
func (m *Metrics) PluginCall(plugin, call, outcome string, took time.Duration) {
	if m == nil {
		return
	}
	m.plugins.calls.WithLabelValues(plugin, call, outcome).Inc()
	m.plugins.seconds.WithLabelValues(plugin, call).Observe(took.Seconds())
}

// PluginRestart counts a process that was replaced.
func (m *Metrics) PluginRestart(plugin string) {
	if m != nil {
		m.plugins.restarts.WithLabelValues(plugin).Inc()
	}
}

// PluginUp says whether a plug-in runs.
func (m *Metrics) PluginUp(plugin string, up bool) {
	if m != nil {
		m.plugins.up.WithLabelValues(plugin).Set(number(up))
	}
}

// PluginGone forgets the numbers of a plug-in that is configured no more, so that nobody is alarmed that it does not run.
func (m *Metrics) PluginGone(plugin string) {
	if m == nil {
		return
	}
	gone := prometheus.Labels{"plugin": plugin}
	m.plugins.calls.DeletePartialMatch(gone)
	m.plugins.seconds.DeletePartialMatch(gone)
	m.plugins.restarts.DeletePartialMatch(gone)
	m.plugins.up.DeletePartialMatch(gone)
	m.plugins.healthy.DeletePartialMatch(gone)
	m.plugins.measures.DeletePartialMatch(gone)
}

// PluginHealthy says whether a plug-in calls itself well.
func (m *Metrics) PluginHealthy(plugin string, healthy bool) {
	if m != nil {
		m.plugins.healthy.WithLabelValues(plugin).Set(number(healthy))
	}
}

// PluginMeasure sets a number that a plug-in gives.
func (m *Metrics) PluginMeasure(plugin, measure string, value float64) {
	if m != nil {
		m.plugins.measures.WithLabelValues(plugin, measure).Set(value)
	}
}

// PluginEvents says how many events wait for a plug-in, how many it has refused, and how old the oldest that waits is.
func (m *Metrics) PluginEvents(plugin string, waiting, refused int, oldest time.Duration) {
	if m == nil {
		return
	}
	m.plugins.waiting.WithLabelValues(plugin).Set(float64(waiting))
	m.plugins.refused.WithLabelValues(plugin).Set(float64(refused))
	m.plugins.oldest.WithLabelValues(plugin).Set(oldest.Seconds())
}

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
