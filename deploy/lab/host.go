package lab

import (
	"crypto/rand"
	"encoding/hex"
	"path/filepath"
	"strings"
)

// User is a mailbox and its password; the login is the address.
type User struct {
	Address  string
	Password string
}

// String is address:password, as in the env file.
func (u User) String() string { return u.Address + ":" + u.Password }

// Host is one host of the lab. Paths are absolute. Fields under "certified" are
// zero for gamma.
type Host struct {
	Name    string // alfa, beta, gamma
	Domain  string
	Address string // IPv4 loopback, in the certificates
	MXPort  int    // STARTTLS offered; of a certified host: the incoming point
	// SubmissionPort asks for STARTTLS and PLAIN; of a certified host: the access point.
	SubmissionPort int
	IMAPSPort      int
	Users          []User // working mailboxes of Domain, nothing special about them
	PostfixConfig  string // folder of the first instance: postfix -c DIR reload
	PostfixLog     string
	DovecotConfig  string // file; SIGHUP reloads it
	DovecotPID     string // pid file

	// certified
	Provider          string // its name in the directory
	PECAddress        string // of the provider, in its certificate; no mailbox
	ServiceUser       User   // mailReceipt in the directory
	FullUser          User   // over quota: one filler message lies in it
	DisabledUser      User
	MasterUser        User   // the agent's login to any mailbox is MAILBOX*NAME
	Unknown           string // an address without mailbox
	Alias             string
	AliasOf           []string // the two mailboxes of Alias
	List              string   // an alias of 200 aliases, which come to all of Users
	FullAlias         string   // an alias of a user and FullUser
	OutsideAlias      string   // an alias of a user and an address of gamma
	Cert, Key         string   // with which the provider seals
	OutPort           int      // of the out instance
	MetricsPort       int      // of the agent; MilterMetricsPort of the milter
	MilterMetricsPort int
	OutConfig         string // folder of the out instance
	OutLog            string
	Config            string // ceralacca.toml of both daemons
	State             string
	AdminSocket       string
	MilterPID         string // pid file
	LDAPID            string // pid file
	ClamdPID          string // pid file
	ClamdConfig       string // clamd.conf
	ClamdSocket       string
	// ClamdDatabase is the folder of its signatures; what is put there counts within 5 s, or after RELOAD.
	ClamdDatabase string
	OutCert       string // client certificate by which the agent hands mail to out
	OutKey        string

	SubmissionSocket, IncomingSocket string // of the milter
	AgentSocket, DSNSocket           string // of the agent
	TLSPolicySocket                  string // of the agent
	LMTPSocket, UserdbSocket         string // of Dovecot

	// A second certified domain; of alfa only.
	SecondDomain string
	SecondUsers  []User

	// Ordinary mail on the same first instance; of alfa only.
	OrdinaryDomain string
	OrdinaryUsers  []User
	OrdinaryMXPort int

	root string // its part of the runtime folder
}

// certified says whether the host is a provider.
func (h *Host) certified() bool { return h.Provider != "" }

// path is a file or folder below the host's part of the runtime folder.
func (h *Host) path(elem ...string) string {
	return filepath.Join(append([]string{h.root}, elem...)...)
}

// hostname is what the host's servers call themselves.
func (h *Host) hostname() string { return "mail." + h.Domain }

// newHosts are the three hosts without addresses and paths.
func newHosts() (alfa, beta, gamma *Host) {
	alfa = newProvider("alfa", "Alfa PEC", "mario", "luigi", "anna")
	alfa.OrdinaryDomain = "ordinaria.example"
	alfa.OrdinaryUsers = newUsers(alfa.OrdinaryDomain, "olga", "oscar", "otto")
	alfa.SecondDomain = "alfa-due.example"
	alfa.SecondUsers = newUsers(alfa.SecondDomain, "dino", "dina")
	beta = newProvider("beta", "Beta PEC", "bruno", "bianca", "berta")
	gamma = &Host{Name: "gamma", Domain: "gamma.example", Users: newUsers("gamma.example", "gino", "giulia", "greta")}
	return alfa, beta, gamma
}

func newProvider(name, provider string, users ...string) *Host {
	domain := name + ".example"
	h := &Host{
		Name: name, Domain: domain, Provider: provider,
		Users:      newUsers(domain, users...),
		PECAddress: "posta-certificata@" + domain,
		Unknown:    "nobody@" + domain,
		Alias:      "info@" + domain,
		List:       "list@" + domain,
		FullAlias:  "full-alias@" + domain, OutsideAlias: "outside@" + domain,
		MasterUser: User{Address: "ceralacca", Password: password()},
	}
	h.AliasOf = []string{h.Users[0].Address, h.Users[1].Address}
	special := newUsers(domain, "service", "full", "disabled")
	h.ServiceUser, h.FullUser, h.DisabledUser = special[0], special[1], special[2]
	return h
}

func newUsers(domain string, names ...string) []User {
	users := make([]User, len(names))
	for i, n := range names {
		users[i] = User{Address: n + "@" + domain, Password: password()}
	}
	return users
}

func password() string {
	b := make([]byte, 12)
	_, _ = rand.Read(b) // never fails: the runtime ends the process instead
	return hex.EncodeToString(b)
}

// mailboxes are all users of the host's domains that Dovecot knows.
func (h *Host) mailboxes() []User {
	all := append([]User{}, h.Users...)
	if h.certified() {
		all = append(all, h.ServiceUser, h.FullUser, h.DisabledUser)
	}
	return append(all, h.SecondUsers...)
}

// domains are the host's own, without the ordinary one beside certified ones.
func (h *Host) domains() []string {
	if h.SecondDomain == "" {
		return []string{h.Domain}
	}
	return []string{h.Domain, h.SecondDomain}
}

// locate gives the host its folders and sockets.
func (h *Host) locate(runtime, logs string) {
	h.root = filepath.Join(runtime, h.Name)
	h.PostfixConfig = h.path("postfix")
	h.PostfixLog = filepath.Join(logs, h.Name+"-postfix.log")
	h.DovecotConfig = h.path("dovecot", "dovecot.conf")
	h.LMTPSocket = h.path("mda", "lmtp")
	if !h.certified() {
		return
	}
	h.OutConfig = h.path("out")
	h.OutLog = filepath.Join(logs, h.Name+"-out.log")
	h.Config = h.path("etc", "ceralacca.toml")
	h.State = h.path("state")
	h.UserdbSocket = h.path("mda", "userdb")
	h.SubmissionSocket = h.path("s", "submission")
	h.IncomingSocket = h.path("s", "incoming")
	h.AgentSocket = h.path("s", "agent")
	h.DSNSocket = h.path("s", "dsn")
	h.TLSPolicySocket = h.path("s", "tls-policy")
	h.ClamdConfig = h.path("av", "clamd.conf")
	h.ClamdSocket = h.path("av", "socket")
	h.ClamdDatabase = h.path("av", "database")
	h.AdminSocket = h.path("s", "admin")
}

// choose gives the host its ports.
func (h *Host) choose() error {
	want := []*int{&h.MXPort, &h.SubmissionPort, &h.IMAPSPort}
	if h.certified() {
		want = append(want, &h.OutPort, &h.MetricsPort, &h.MilterMetricsPort)
	}
	if h.OrdinaryDomain != "" {
		want = append(want, &h.OrdinaryMXPort)
	}
	return ports(h.Address, want...)
}

func joinUsers(users []User) string {
	all := make([]string, len(users))
	for i, u := range users {
		all[i] = u.String()
	}
	return strings.Join(all, " ")
}
