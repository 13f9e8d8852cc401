package config

import "slices"

// KeepFixed returns c with the settings of running in the place of those that a daemon reads only when it starts, and
// the names of those that differ. Neither c nor running is changed.
func (c *Config) KeepFixed(running *Config) (kept *Config, differ []string) {
	clone := *c
	note := func(name string, same bool) {
		if !same {
			differ = append(differ, name)
		}
	}
	note("milter.submission_socket", c.Milter.SubmissionSocket == running.Milter.SubmissionSocket)
	note("milter.incoming_socket", c.Milter.IncomingSocket == running.Milter.IncomingSocket)
	note("milter.metrics", c.Milter.Metrics == running.Milter.Metrics)
	clone.Milter = running.Milter
	a, was := &clone.Agent, running.Agent
	note("agent.lmtp_socket", a.LMTPSocket == was.LMTPSocket)
	note("agent.dsn_socket", a.DSNSocket == was.DSNSocket)
	note("agent.queue_directory", slices.Equal(a.QueueDirectory, was.QueueDirectory))
	note("agent.state", a.State == was.State)
	note("agent.admin_socket", a.AdminSocket == was.AdminSocket)
	note("agent.metrics", a.Metrics == was.Metrics)
	a.LMTPSocket, a.DSNSocket, a.AdminSocket = was.LMTPSocket, was.DSNSocket, was.AdminSocket
	a.QueueDirectory, a.State, a.Metrics = was.QueueDirectory, was.State, was.Metrics
	note("network.tls_policy_socket", c.Network.TLSPolicySocket == running.Network.TLSPolicySocket)
	clone.Network.TLSPolicySocket = running.Network.TLSPolicySocket
	return &clone, differ
}
