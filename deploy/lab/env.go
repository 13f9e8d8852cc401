package lab

import (
	"fmt"
	"strings"
)

// Env is the lab as lines NAME='value' that sh can source. A quote in a value, as a folder's name may have one, is
// written as sh wants it.
func (l *Lab) Env() string {
	var b strings.Builder
	set := func(name string, value any) { fmt.Fprintf(&b, "%s=%s\n", name, quoted(value)) }
	for _, p := range [][2]string{
		{"LAB_CA", l.CA}, {"LAB_CA_KEY", l.CAKey}, {"LAB_CRL", l.CRL}, {"LAB_BIN", l.Bin}, {"LAB_CLOCK", l.Clock},
		{"DIRECTORY_P7M", l.DirectoryP7M}, {"DIRECTORY_URL", l.DirectoryURL},
		{"DIRECTORY_SIGNER_CA", l.DirectorySignerCA}, {"DIRECTORY_SIGNER_CERT", l.DirectorySignerCert},
		{"DIRECTORY_SIGNER_KEY", l.DirectorySignerKey},
		{"LAB_CLIENT_CERT", l.ClientCert}, {"LAB_CLIENT_KEY", l.ClientKey},
		{"LAB_REVOKED_CERT", l.RevokedCert}, {"LAB_REVOKED_KEY", l.RevokedKey},
		{"LAB_EXPIRED_CERT", l.ExpiredCert}, {"LAB_EXPIRED_KEY", l.ExpiredKey},
		{"LAB_CRL_URL", l.CRLURL}, {"LAB_LEAVING_CERT", l.LeavingCert}, {"LAB_LEAVING_KEY", l.LeavingKey},
		{"LAB_STRANGER_CERT", l.StrangerCert}, {"LAB_STRANGER_KEY", l.StrangerKey},
		{"DELTA_DOMAIN", l.Delta.Domain}, {"DELTA_PEC_ADDRESS", l.Delta.PECAddress},
		{"DELTA_PROVIDER", l.Delta.Provider}, {"DELTA_MAIL_RECEIPT", l.Delta.MailReceipt},
		{"DELTA_CERT", l.Delta.Cert}, {"DELTA_KEY", l.Delta.Key}, {"DELTA_HOST", l.Delta.Host},
		{"DELTA_NEXT_CERT", l.Delta.NextCert}, {"DELTA_NEXT_KEY", l.Delta.NextKey},
		{"DELTA_UNIT", l.Delta.Unit}, {"DELTA_UNIT_DOMAIN", l.Delta.UnitDomain}, {"DELTA_UNIT_PEC_ADDRESS", l.Delta.UnitPECAddress},
		{"DELTA_UNIT_MAIL_RECEIPT", l.Delta.UnitMailReceipt}, {"DELTA_UNIT_CERT", l.Delta.UnitCert}, {"DELTA_UNIT_KEY", l.Delta.UnitKey},
	} {
		set(p[0], p[1])
	}
	set("DELTA_SINK_PORT", l.Delta.SinkPort)
	for _, h := range l.Hosts() {
		h.env(func(name string, value any) { set(strings.ToUpper(h.Name)+"_"+name, value) })
	}
	return b.String()
}

func quoted(value any) string {
	return "'" + strings.ReplaceAll(fmt.Sprint(value), "'", `'\''`) + "'"
}

func (h *Host) env(set func(name string, value any)) {
	set("DOMAIN", h.Domain)
	set("HOST", h.Address)
	set("MX_PORT", h.MXPort)
	set("SUBMISSION_PORT", h.SubmissionPort)
	set("IMAPS_PORT", h.IMAPSPort)
	set("USERS", joinUsers(h.Users))
	set("POSTFIX_CONFIG", h.PostfixConfig)
	set("POSTFIX_LOG", h.PostfixLog)
	set("DOVECOT_CONFIG", h.DovecotConfig)
	set("DOVECOT_PID", h.DovecotPID)
	if h.OrdinaryDomain != "" {
		set("ORDINARY_DOMAIN", h.OrdinaryDomain)
		set("ORDINARY_USERS", joinUsers(h.OrdinaryUsers))
		set("ORDINARY_MX_PORT", h.OrdinaryMXPort)
	}
	if h.certified() {
		h.certifiedEnv(set)
	}
}

func (h *Host) certifiedEnv(set func(name string, value any)) {
	set("PROVIDER", h.Provider)
	set("PEC_ADDRESS", h.PECAddress)
	set("SERVICE_USER", h.ServiceUser)
	set("FULL_USER", h.FullUser)
	set("DISABLED_USER", h.DisabledUser)
	set("UNKNOWN", h.Unknown)
	set("ALIAS", h.Alias)
	set("LIST", h.List)
	set("FULL_ALIAS", h.FullAlias)
	set("OUTSIDE_ALIAS", h.OutsideAlias)
	if h.SecondDomain != "" {
		set("SECOND_DOMAIN", h.SecondDomain)
		set("SECOND_USERS", joinUsers(h.SecondUsers))
	}
	set("OUT_PORT", h.OutPort)
	set("OUT_CONFIG", h.OutConfig)
	set("OUT_LOG", h.OutLog)
	set("STATE", h.State)
	set("ADMIN_SOCKET", h.AdminSocket)
	set("TLS_POLICY_SOCKET", h.TLSPolicySocket)
	set("CONFIG", h.Config)
	set("MILTER_PID", h.MilterPID)
	set("LDA_PID", h.LDAPID)
	set("METRICS_PORT", h.MetricsPort)
	set("MILTER_METRICS_PORT", h.MilterMetricsPort)
	set("CLAMD_PID", h.ClamdPID)
	set("CLAMD_SOCKET", h.ClamdSocket)
	set("CLAMD_DATABASE", h.ClamdDatabase)
	set("CLAMD_CONFIG", h.ClamdConfig)
}
