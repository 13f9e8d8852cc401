package metrics

// Counter names a number that only grows. Each has one label, whose values are few and chosen by the program, never by
// what comes from outside.
type Counter string

// The counters of the milter.
const (
	// Transactions: label verdict.
	Transactions Counter = "ceralacca_milter_transactions_total"
	// Refusals of the SMTP session: label code, the enhanced one.
	Refusals Counter = "ceralacca_milter_refusals_total"
	// Problems of signed messages that are not what they say: label problem.
	Problems Counter = "ceralacca_milter_problems_total"
	// Scans of messages by the antivirus: label verdict, "failed" when there was no answer.
	Scans Counter = "ceralacca_milter_scans_total"
)

// The counters of the agent.
const (
	// Effects that are done: label effect.
	Effects Counter = "ceralacca_agent_effects_total"
	// Replies to Postfix, one per recipient: label code.
	Replies Counter = "ceralacca_agent_replies_total"
	// HandOvers that failed: label to, "dovecot" or "out".
	HandOvers Counter = "ceralacca_agent_handover_failures_total"
	// Repeats of a hand-over of unknown outcome: label effect.
	Repeats Counter = "ceralacca_agent_repeats_total"
	// Commits of the store, each of which flushes the disk: label table, always "all".
	Commits Counter = "ceralacca_store_commits_total"
	// Updates of the store, several of which share a commit: label table, always "all".
	Updates Counter = "ceralacca_store_updates_total"
)

// The counters of both.
const (
	// Alarms, which somebody must look at: label alarm.
	Alarms Counter = "ceralacca_alarms_total"
	// Panics that were caught: label door.
	Panics Counter = "ceralacca_panics_total"
	// Errors that were answered as temporary: label op.
	Errors Counter = "ceralacca_errors_total"
	// ClockSteps are the times that somebody set the host's clock: label direction, "forward" or "backward".
	ClockSteps Counter = "ceralacca_clock_steps_total"
	// RevocationFetches of lists: label outcome, "taken", "unchanged", "refused" or "failed".
	RevocationFetches Counter = "ceralacca_revocation_fetches_total"
	// RevocationUnknown is how often nobody said whether a certificate is revoked: label outcome, "deferred" or "accepted".
	RevocationUnknown Counter = "ceralacca_revocation_unknown_total"
	// OCSPAnswers of responders: label outcome, "good", "revoked", "failed" or "late".
	OCSPAnswers Counter = "ceralacca_ocsp_answers_total"
)

// Gauge names a number that goes up and down. It has no label.
type Gauge string

// The gauges.
const (
	// DirectoryTime is when the directory in use was taken, in seconds since 1970.
	DirectoryTime Gauge = "ceralacca_directory_timestamp_seconds"
	// DirectoryChecked is when the directory was last fetched and found good, in seconds since 1970.
	DirectoryChecked Gauge = "ceralacca_directory_checked_timestamp_seconds"
	// DirectoryWaiting is 1 while a new directory waits for a person.
	DirectoryWaiting Gauge = "ceralacca_directory_waiting"
	// DirectoryProblems is how much is left out of the directory in use because it is wrong.
	DirectoryProblems Gauge = "ceralacca_directory_problems"
	// CRLExpires is when the first list of revoked certificates ends, of those that matter, in seconds since 1970.
	CRLExpires Gauge = "ceralacca_crl_expires_timestamp_seconds"
	// RevocationChecked is when the place of a revocation list was last reached that was not reached for the longest time, in
	// seconds since 1970.
	RevocationChecked Gauge = "ceralacca_revocation_checked_timestamp_seconds"
	// CertificateExpires is when the certificate that signs ends, in seconds since 1970.
	CertificateExpires Gauge = "ceralacca_certificate_expires_timestamp_seconds"
	// InHand is how many transactions are under way.
	InHand Gauge = "ceralacca_transactions_in_hand"
	// Due is how many notifications wait for a mailbox, those included that are tried no more.
	Due Gauge = "ceralacca_agent_due_notifications"
	// Watched is how many messages of ours are watched: those of the last 12 hours, and those whose recipients lack an outcome.
	Watched Gauge = "ceralacca_agent_watched_messages"
	// WatchLate is by how many seconds the most overdue look at one of them is late.
	WatchLate Gauge = "ceralacca_agent_watch_late_seconds"
	// Unfinished is how many effects were prepared a while ago and are not done.
	Unfinished Gauge = "ceralacca_agent_unfinished_effects"
	// ClockSound is 1 while the host's clock may be certified by.
	ClockSound Gauge = "ceralacca_clock_sound"
	// ClockMaxError is how far the host's clock may be from UTC, in seconds.
	ClockMaxError Gauge = "ceralacca_clock_max_error_seconds"
	// ClockEstimatedError is how far it probably is, in seconds.
	ClockEstimatedError Gauge = "ceralacca_clock_estimated_error_seconds"
)

// Duration names how long something takes, in seconds. It has no label.
type Duration string

// The durations.
const (
	// SealTime is the time to seal a message.
	SealTime Duration = "ceralacca_seal_seconds"
	// SyncTime is the wait for syncfs.
	SyncTime Duration = "ceralacca_agent_syncfs_seconds"
	// TransactionTime is the time from the end of a message to the answer.
	TransactionTime Duration = "ceralacca_transaction_seconds"
	// OutTime is how long the outbound instance took to take a message.
	OutTime Duration = "ceralacca_agent_out_handover_seconds"
)

// spec is what Prometheus is told of a metric.
type spec struct {
	name, help, label string
}

func counters() []spec {
	return []spec{
		{string(Transactions), "SMTP transactions by verdict.", "verdict"},
		{string(Refusals), "Refusals in the SMTP session by enhanced status code.", "code"},
		{string(Problems), "Signed messages that are not what they say, by problem.", "problem"},
		{string(Scans), "Messages by what the antivirus said.", "verdict"},
		{string(Effects), "Effects done.", "effect"},
		{string(Replies), "Replies to Postfix, one per recipient.", "code"},
		{string(HandOvers), "Hand-overs that failed for now.", "to"},
		{string(Repeats), "Hand-overs of unknown outcome that were repeated.", "effect"},
		{string(Commits), "Commits of the store.", "table"},
		{string(Updates), "Updates of the store.", "table"},
		{string(Alarms), "Events that somebody must look at.", "alarm"},
		{string(Panics), "Panics that were caught.", "door"},
		{string(Errors), "Errors that were answered as temporary.", "op"},
		{string(ClockSteps), "Times that the clock of the host was set.", "direction"},
		{string(RevocationFetches), "Attempts to fetch a revocation list by what became of them.", "outcome"},
		{string(RevocationUnknown), "Certificates of which nobody said whether they are revoked.", "outcome"},
		{string(OCSPAnswers), "Answers of OCSP responders.", "outcome"},
	}
}

func gauges() []spec {
	return []spec{
		{string(DirectoryTime), "When the directory in use was taken.", ""},
		{string(DirectoryChecked), "When the directory was last found good; from a file, when that was last put there.", ""},
		{string(DirectoryWaiting), "1 while a new directory waits for a person to accept it.", ""},
		{string(DirectoryProblems), "What is left out of the directory in use because it is wrong.", ""},
		{string(CRLExpires), "When the first list of revoked certificates ends, of those in use for our certificate and the directory's.", ""},
		{string(RevocationChecked), "When the revocation list was checked that was not checked for the longest time.", ""},
		{string(CertificateExpires), "When the certificate that signs ends.", ""},
		{string(InHand), "Transactions under way.", ""},
		{string(Due), "Notifications that wait for a mailbox.", ""},
		{string(Watched), "Messages watched for their time notices: of the last 12 hours, and those without an outcome.", ""},
		{string(WatchLate), "By how much the most overdue look at a watched message is late.", ""},
		{string(Unfinished), "Effects prepared and not done.", ""},
		{string(ClockSound), "1 while the clock of the host is kept, so that it may be certified by.", ""},
		{string(ClockMaxError), "How far the clock of the host may be from UTC, by the kernel.", ""},
		{string(ClockEstimatedError), "How far the clock of the host probably is from UTC, by the kernel.", ""},
	}
}

func durations() []spec {
	return []spec{
		{string(SealTime), "Time to seal a message.", ""},
		{string(SyncTime), "Wait for syncfs.", ""},
		{string(TransactionTime), "Time from the end of a message to the answer.", ""},
		{string(OutTime), "Time the outbound instance took to take a message.", ""},
	}
}
