package config

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ceralacca/ceralacca/internal/secret"
	"github.com/ceralacca/ceralacca/pec"
)

var update = flag.Bool("update", false, "rewrite the generated files and the expected lines")

var configs = cmp.Options{cmpopts.IgnoreUnexported(Config{}), cmp.Comparer(func(a, b pec.Address) bool { return a == b })}

func address1(t *testing.T, text string) pec.Address {
	t.Helper()
	a, err := pec.ParseAddress(text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func fileText(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func parse(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("test.toml", []byte(text))
	if err != nil {
		t.Fatalf("Parse:\n%v", err)
	}
	return c
}

// good is a configuration with no more than must be written.
func good(t testing.TB) string { return fileText(t, "testdata/good.toml") }

func TestParse(t *testing.T) {
	want := &Config{
		Provider: Provider{
			Name: "Alfa", Address: address1(t, "posta-certificata@alfa.example"), Domains: []string{"alfa.example"},
			ServiceMailbox: address1(t, "ricevute@alfa.example"), InternalDomain: "ceralacca.internal",
		},
		Key:       Key{Cert: "/c/cert.pem", Key: "/c/key.pem", CA: "/c/ca.pem", CRL: []string{"/c/crl.pem"}},
		Directory: Directory{File: "/c/dir.p7m", SignerCA: "/c/signer.pem", CheckEvery: time.Hour, MaxLoss: 10},
		Milter:    Milter{SubmissionSocket: Endpoint{"unix", "/r/sub"}, IncomingSocket: Endpoint{"unix", "/r/in"}},
		Incoming:  Incoming{Ordinary: OrdinaryAnomaly, MaxAge: 72 * time.Hour},
		Receipts:  Receipts{BriefHash: "decoded", BriefAlgorithm: "sha1"},
		Limits:    Limits{Size: 104857600, Product: 104857600, HardSize: 157286400},
		Agent: Agent{
			LMTPSocket: Endpoint{"unix", "/r/lmtp"}, DSNSocket: Endpoint{"unix", "/r/dsn"},
			AdminSocket: Endpoint{"unix", "/r/admin"}, Out: "127.0.0.1:10026", OutCert: "/c/out.pem",
			OutKey: "/c/out.key", OutCA: "/c/out-ca.pem", QueueDirectory: []string{"/q"}, State: "/s",
		},
		Dovecot: Dovecot{
			LMTP: Endpoint{"tcp", "localhost:24"}, UserdbSocket: Endpoint{"unix", "/r/userdb"}, IMAP: "localhost:993",
			MasterUser: "master", MasterPassword: "/c/master",
		},
		HMAC: HMAC{Key: "/c/hmac"}, Antivirus: Antivirus{Mode: AntivirusNone},
		Time: Time{Unsynchronised: UnsynchronisedDefer, MaxError: time.Second, MaxStep: 500 * time.Millisecond},
		Revocation: Revocation{DistributionPoints: PointsFollow, Cache: "/var/cache/ceralacca", Every: 10 * time.Minute,
			Grace: 24 * time.Hour, OCSP: OCSPOff, OCSPDeadline: 3 * time.Second, Unavailable: UnavailableDefer},
	}
	if diff := cmp.Diff(want, parse(t, good(t)), configs); diff != "" {
		t.Errorf("Parse (-want +got):\n%s", diff)
	}
}

// Other ways to write a value, each of which changes one field of the good configuration.
func TestValues(t *testing.T) {
	dir := "[directory]\nfile = \"/c/dir.p7m\"\n"
	tests := []struct {
		old, new string
		change   func(*Config)
	}{
		{`queue_directory = "/q"`, `queue_directory = ["/q", "/q2"]`,
			func(c *Config) { c.Agent.QueueDirectory = []string{"/q", "/q2"} }},
		{`crl = "/c/crl.pem"`, `crl = ["/c/1.pem", "/c/./2.pem"]`,
			func(c *Config) { c.Key.CRL = []string{"/c/1.pem", "/c/2.pem"} }},
		{`lmtp = "localhost:24"`, `lmtp = "unix:/r/dovecot"`,
			func(c *Config) { c.Dovecot.LMTP = Endpoint{"unix", "/r/dovecot"} }},
		{`state = "/s"`, "state = \"/s\"\nmetrics = \"[::1]:9925\"", func(c *Config) { c.Agent.Metrics = "[::1]:9925" }},
		{`state = "/s"`, "state = \"/s\"\nmetrics = \"localhost:9925\"",
			func(c *Config) { c.Agent.Metrics = "localhost:9925" }},
		{`domains = ["alfa.example"]`, `domains = ["ALFA.example", "b.example"]`,
			func(c *Config) { c.Provider.Domains = []string{"alfa.example", "b.example"} }},
		{`[hmac]`, "[limits]\nsize = \"30 MB\"\nproduct = \"30 MB\"\nhard_size = \"1GB\"\n[hmac]",
			func(c *Config) { c.Limits = Limits{30 << 20, 30 << 20, 1 << 30} }},
		{`[hmac]`, "[incoming]\nordinary = \"refuse\"\nmax_age = \"24h\"\nalias_maps = [\"hash:/etc/a\", \"pcre:/etc/b\"]\n[hmac]",
			func(c *Config) {
				c.Incoming = Incoming{OrdinaryRefuse, []string{"hash:/etc/a", "pcre:/etc/b"}, 24 * time.Hour}
			}},
		{`[hmac]`, "[receipts]\nbrief_hash = \"encoded\"\nbrief_algorithm = \"sha256\"\n[hmac]",
			func(c *Config) { c.Receipts = Receipts{"encoded", "sha256"} }},
		{`[hmac]`, "[submission]\nsender_map = \"/c/senders\"\n[hmac]",
			func(c *Config) { c.Submission.SenderMap = "/c/senders" }},
		{dir, "[directory]\nurl = \"https://igpec.example/x\"\nclient_cert = \"/c/1\"\nclient_key = \"/c/2\"\ncheck_every = \"5s\"\n",
			func(c *Config) {
				c.Directory = Directory{URL: "https://igpec.example/x", ClientCert: "/c/1", ClientKey: "/c/2",
					SignerCA: "/c/signer.pem", CheckEvery: 5 * time.Second, MaxLoss: 10}
			}},
		{dir, dir + "max_loss = 0\n", func(c *Config) { c.Directory.MaxLoss = 0 }},
		{`[hmac]`, "[publish]\nldif_url = \"https://alfa.example/a.p7m\"\n[hmac]",
			func(c *Config) { c.Publish = Publish{LDIFURL: "https://alfa.example/a.p7m"} }},
		{`[hmac]`, "[publish]\nldif_url = \"https://alfa.example/a.p7m\"\ndescription = \"x\"\ncerts = [\"/c/next.pem\"]\n" +
			"signer_cert = \"/c/s.pem\"\nsigner_key = \"/c/s.key\"\n[environments.b]\nunit = \"U b\"\nservice_mailbox = \"R@b.example\"\n" +
			"domains = [\"B.example\"]\ncerts = [\"/c/b.pem\"]\n[environments.a]\nunit = \"U a\"\nservice_mailbox = \"r@a.example\"\n" +
			"domains = [\"a.example\"]\ncerts = [\"/c/a.pem\", \"/c/a2.pem\"]\ndescription = \"y\"\n[hmac]",
			func(c *Config) {
				c.Publish = Publish{LDIFURL: "https://alfa.example/a.p7m", Description: "x", Certs: []string{"/c/next.pem"},
					SignerCert: "/c/s.pem", SignerKey: "/c/s.key"}
				c.Environments = []Environment{
					{"a", "U a", address1(t, "r@a.example"), []string{"a.example"}, []string{"/c/a.pem", "/c/a2.pem"}, "y"},
					{"b", "U b", address1(t, "r@b.example"), []string{"b.example"}, []string{"/c/b.pem"}, ""},
				}
			}},
		{"[hmac]\nkey = \"/c/hmac\"\n[antivirus]\nmode = \"none\"\n", "[antivirus]\nmode = 'none'\n[hmac]\n\"key\" = '''/c/hmac'''\n",
			func(*Config) {}},
		{`ricevute@alfa.example`, `Ricevute@ALFA.example`, func(*Config) {}},
	}
	for _, test := range tests {
		text := strings.Replace(good(t), test.old, test.new, 1)
		if text == good(t) && test.old != "" {
			t.Fatalf("%q is not in good.toml", test.old)
		}
		want := parse(t, good(t))
		test.change(want)
		if diff := cmp.Diff(want, parse(t, text), configs); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.new, diff)
		}
	}
}

// Each file in testdata/broken is wrong in the way its name says, and beside it stands what is said about it.
func TestBrokenFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/broken/*.toml")
	if err != nil || len(files) < 50 {
		t.Fatalf("%d broken files, %v; want the corpus", len(files), err)
	}
	for _, file := range files {
		_, err := Parse(filepath.Base(file), []byte(fileText(t, file)))
		faults, ok := errors.AsType[Faults](err)
		if !ok || len(faults) == 0 {
			t.Errorf("%s: %v; want faults", file, err)
			continue
		}
		wantFile := strings.TrimSuffix(file, ".toml") + ".want"
		got := faults.Error() + "\n"
		if *update {
			if err := os.WriteFile(wantFile, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(fileText(t, wantFile), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
	}
}

func TestWarnings(t *testing.T) {
	warnings := parse(t, good(t)).Warnings()
	want := `test.toml:44:1: antivirus.mode is "none": no message is checked for viruses, as the rules demand; ` +
		`write mode = "plugins", and [plugins.NAME] for an antivirus`
	if len(warnings) != 1 || warnings[0].String() != want {
		t.Errorf("Warnings = %v, want %s", warnings, want)
	}
}

// A clock that is not held to what the law asks is said at every start.
func TestWarningsOfTime(t *testing.T) {
	warnings := parse(t, good(t)+"[time]\nunsynchronised = \"warn\"\nmax_error = \"2s\"\n").Warnings()
	if len(warnings) != 3 || !strings.Contains(warnings[1].String(), `:46:1: time.unsynchronised is "warn"`) ||
		!strings.Contains(warnings[2].String(), ":47:1: time.max_error is 2s") {
		t.Errorf("Warnings = %v", warnings)
	}
}

func TestLoad(t *testing.T) {
	if c, err := Load("testdata/good.toml"); err != nil || c.Provider.Name != "Alfa" {
		t.Errorf("Load = %+v, %v; want the good configuration", c, err)
	}
	if _, err := Load("testdata/none.toml"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load of a missing file: %v; want %v", err, fs.ErrNotExist)
	}
	long := filepath.Join(t.TempDir(), "long.toml")
	if err := os.WriteFile(long, []byte(strings.Repeat("#", maxFile+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(long); err == nil || errors.As(err, new(Faults)) {
		t.Errorf("Load of a file beyond all measure: %v; want an error that is no fault", err)
	}
}

func TestCheckFilesLooksAtEveryFileAndSaysWhatIsWrong(t *testing.T) {
	looked := map[string]FileKind{}
	look := func(path string, kind FileKind) error {
		looked[path] = kind
		switch path {
		case "/c/key.pem":
			return fmt.Errorf("%s: %w", path, secret.ErrMode)
		case "/c/hmac":
			return fmt.Errorf("%s: %w", path, secret.ErrOwner)
		case "/c/crl.pem":
			return &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
		}
		return nil
	}
	c := parse(t, strings.Replace(good(t), `crl = "/c/crl.pem"`, `crl = ["/c/one", "/c/crl.pem"]`, 1))
	got := c.CheckFiles(look)
	want := `test.toml:9:1: key.key: /c/key.pem: open to group or others; write its mode: chmod 0600 /c/key.pem
test.toml:11:1: key.crl: open /c/crl.pem: file does not exist; write the path of what is there and can be read
test.toml:42:1: hmac.key: /c/hmac: owned by another user; write its owner: chown root /c/hmac, or the user of the daemon`
	if diff := cmp.Diff(want, got.Error()); diff != "" {
		t.Errorf("CheckFiles (-want +got):\n%s", diff)
	}
	kinds := map[string]FileKind{
		"/c/cert.pem": FilePublic, "/c/key.pem": FileSecret, "/c/ca.pem": FilePublic, "/c/one": FilePublic,
		"/c/crl.pem": FilePublic, "/c/dir.p7m": FilePublic, "/c/signer.pem": FilePublic, "/c/out.pem": FilePublic,
		"/c/out.key": FileSecret, "/c/out-ca.pem": FilePublic, "/c/master": FileSecret, "/c/hmac": FileSecret, "/q": FileFolder,
	}
	if diff := cmp.Diff(kinds, looked); diff != "" {
		t.Errorf("looked at (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(parse(t, good(t)).Key.Cert, c.Key.Cert); diff != "" {
		t.Errorf("CheckFiles changed the configuration:\n%s", diff)
	}
}

func TestLook(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		path string
		kind FileKind
		want error
	}{
		{file, FilePublic, nil}, {file, FileSecret, secret.ErrMode}, {file + "2", FilePublic, fs.ErrNotExist},
		{file, FileFolder, ErrNotFolder}, {filepath.Dir(file), FileFolder, nil}, {file + "2", FileSecret, fs.ErrNotExist}, {filepath.Dir(file), FilePublic, secret.ErrNotRegular},
	} {
		if err := Look(test.path, test.kind); !errors.Is(err, test.want) {
			t.Errorf("Look(%q, %d) = %v; want %v", test.path, test.kind, err, test.want)
		}
	}
}

// The sample is what a sysadmin starts from: it must be right as it stands, and with everything it leaves out.
func TestTheSampleHasNoFaults(t *testing.T) {
	c := parse(t, Sample())
	if c.Directory.File == "" || c.Limits.Size != 100<<20 {
		t.Errorf("the sample is %+v", c)
	}
	all := strings.NewReplacer("\n#metrics", "\nmetrics", "\n#imap_ca", "\nimap_ca", "\n#sender_map", "\nsender_map",
		"\n#alias_maps", "\nalias_maps").Replace(Sample())
	if c := parse(t, all); c.Agent.Metrics == "" || c.Milter.Metrics == "" {
		t.Error("the sample without comments has no metrics")
	}
	byURL := strings.NewReplacer("\nfile =", "\n#file =", "\n#url", "\nurl", "\n#client", "\nclient").Replace(Sample())
	if d := parse(t, byURL).Directory; d.URL == "" || d.URLCA == "" || d.ClientKey == "" {
		t.Errorf("the sample with a URL is %+v", d)
	}
}

// Every default is right, and what the sample shows for it is the default itself or another good value.
func TestEveryKeyHasAReferenceAndGoodExamples(t *testing.T) {
	for _, s := range sections(&Config{}) {
		for _, k := range s.keys {
			if k.doc == "" || k.sample == "" || k.value.kind == "" {
				t.Errorf("%s.%s has no doc, sample or kind", s.name, k.name)
			}
			if k.file != 0 && k.value.paths == nil {
				t.Errorf("%s.%s is a file but not a path", s.name, k.name)
			}
			if k.preset != "" && !strings.Contains(Sample(), k.name+" = "+k.preset) {
				t.Errorf("%s.%s: the default %s is not the one of the sample", s.name, k.name, k.preset)
			}
		}
	}
}

func TestGeneratedFilesAreFresh(t *testing.T) {
	for path, want := range map[string]string{
		"../../docs/config.md": Reference(), "../../deploy/ceralacca.toml": Sample(),
	} {
		if *update {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(want, fileText(t, path)); diff != "" {
			t.Errorf("%s is old: go test ./internal/config -update (-want +got):\n%s", path, diff)
		}
	}
}

func TestSenderMap(t *testing.T) {
	path := filepath.Join(t.TempDir(), "senders")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("# who may what\n\nanna Info@alfa.example\tsales@ALFA.example # both\r\nbruno info@alfa.example\nanna x@alfa.example\n")
	m, err := LoadSenderMap(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		login, address string
		want           bool
	}{
		{"anna", "info@alfa.example", true}, {"anna", "SALES@alfa.example", true}, {"anna", "x@alfa.example", true},
		{"bruno", "info@alfa.example", true}, {"bruno", "sales@alfa.example", false}, {"Anna", "info@alfa.example", false},
		{"", "info@alfa.example", false}, {"both", "info@alfa.example", false},
	} {
		if got := m.May(test.login, address1(t, test.address)); got != test.want {
			t.Errorf("May(%q, %s) = %v, want %v", test.login, test.address, got, test.want)
		}
	}
	write("anna info@alfa.example\nbruno\n\ncarla info@alfa.example nobody\n")
	_, err = LoadSenderMap(path)
	want := path + ":2:1: login \"bruno\" has no address; write bruno box@alfa.example\n" +
		path + ":4:1: \"nobody\" of login \"carla\" is not an address; write carla box@alfa.example"
	if err == nil || err.Error() != want {
		t.Errorf("LoadSenderMap: %v; want %s", err, want)
	}
	if _, err := LoadSenderMap(path + "2"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("LoadSenderMap of a missing file: %v", err)
	}
}
