package client

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
)

// Metrics is what a daemon of a host answers to a scrape. port is "METRICS_PORT" for the agent, "MILTER_METRICS_PORT" for
// the milter.
func (e Env) Metrics(host, port string) (string, error) {
	response, err := http.Get("http://" + net.JoinHostPort(e[host+"_HOST"], e[host+"_"+port]) + "/metrics")
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	page, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("metrics of %s: %s: %s", host, response.Status, page)
	}
	return string(page), err
}

// Metric is the number of a line of [Env.Metrics], which line names with its labels; 0 when it is not there.
func (e Env) Metric(host, port, line string) (float64, error) {
	page, err := e.Metrics(host, port)
	if err != nil {
		return 0, err
	}
	for one := range strings.Lines(page) {
		if value, found := strings.CutPrefix(strings.TrimSpace(one), line+" "); found {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, nil
}
