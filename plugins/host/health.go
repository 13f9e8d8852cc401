package host

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"

	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/ceralacca/ceralacca/plugins"
	"github.com/ceralacca/ceralacca/plugins/contract"
	contractv2 "github.com/ceralacca/ceralacca/plugins/contract/v2"
)

// goPluginService is the name by which go-plugin asks for health.
const goPluginService = "plugin"

var measureForm = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

// maxMeasures a plug-in may give, so that it cannot fill our metrics.
const maxMeasures = 32

// Health asks the process how it is. An error means that it does not answer; Problem that it does, and is not well.
func (i *Instance) Health(ctx context.Context) (plugins.Health, error) {
	ctx, cancel := context.WithTimeout(ctx, healthTime)
	defer cancel()
	var h plugins.Health
	answer, err := grpc_health_v1.NewHealthClient(i.conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: goPluginService})
	if err != nil {
		return h, fmt.Errorf("health: %w", err)
	}
	if answer.Status != grpc_health_v1.HealthCheckResponse_SERVING {
		h.Problem = "it says that it is " + answer.Status.String()
		return h, nil
	}
	if i.version == contract.Previous {
		return h, nil
	}
	more, err := contractv2.NewPluginClient(i.conn).Health(ctx, &contractv2.HealthRequest{})
	if err != nil {
		return h, fmt.Errorf("health: %w", err)
	}
	if !more.Ready {
		h.Problem = "not ready: " + more.Reason
	}
	for _, m := range more.Measures[:min(len(more.Measures), maxMeasures)] {
		if measureForm.MatchString(m.Name) {
			h.Measures = append(h.Measures, plugins.Measure{Name: m.Name, Value: m.Value})
		}
	}
	return h, nil
}

// checkHealth says whether the process answers; that it is not well is an alarm, once.
func (s *Supervisor) checkHealth(ctx context.Context, i *Instance) (answers bool) {
	h, err := i.Health(ctx)
	if err != nil {
		if ctx.Err() == nil {
			s.log().Error("plug-in does not say how it is", slog.Any("error", err))
		}
		return false
	}
	for _, m := range h.Measures {
		s.o.Metrics.PluginMeasure(s.o.Name, m.Name, m.Value)
	}
	s.mu.Lock()
	before := s.healthy
	s.healthy = h.Problem == ""
	s.mu.Unlock()
	s.o.Metrics.PluginHealthy(s.o.Name, h.Problem == "")
	switch {
	case before && h.Problem != "":
		s.alarm("plug-in is not well", slog.String("problem", h.Problem))
	case !before && h.Problem == "":
		s.log().Info("plug-in is well again")
	}
	return true
}
