package main

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab/virus"
	"github.com/ceralacca/ceralacca/plugins"
	"github.com/ceralacca/ceralacca/plugins/host"
)

func TestVerdictsOfARealClamd(t *testing.T) {
	t.Parallel()
	a := good(t, nil, newReal(t, time.Hour, "").address())
	eicar, deep := file{"e.com", virus.Eicar}, func() file { return file{"deep.zip", zipped(random(50), 40)} }
	secret := func() file { return file{"s.zip", string(encryptedZip())} }
	for _, test := range []struct {
		name, text string
		want       plugins.Verdict // Unscanned: no answer
	}{
		{"nothing", message(head), plugins.Clean},
		{"not a message", random(1000), plugins.Clean},
		{"empty", "", plugins.Clean},
		{"EICAR alone", virus.Eicar, plugins.Infected},
		{"EICAR in the text", head + "\r\n" + virus.Eicar + "\r\n", plugins.Infected},
		{"EICAR attached", message(head, eicar), plugins.Infected},
		{"EICAR zipped", message(head, file{"e.zip", zipped(virus.Eicar, 1)}), plugins.Infected},
		{"EICAR zipped five times", message(head, file{"e.zip", zipped(virus.Eicar, 5)}), plugins.Infected},
		{"EICAR in a message in a message", head + "Content-Type: message/rfc822\r\n\r\n" + message(head, eicar), plugins.Infected},
		// clamd alone does not see a message in these.
		{"EICAR behind strange fields", strings.Repeat("X-Strange: field\r\n", 300) + "Content-Transfer-Encoding: base64\r\n\r\n" + wrapped(virus.Eicar), plugins.Infected},
		{"EICAR behind a single field", "Content-Transfer-Encoding: base64\r\n\r\n" + wrapped(virus.Eicar), plugins.Infected},
		{"encrypted zip", message(head, secret()), plugins.Encrypted},
		{"encrypted 7z", message(head, file{"s.7z", encrypted7z()}), plugins.Encrypted},
		{"encrypted PDF", message(head, file{"s.pdf", encryptedPDF()}), plugins.Encrypted},
		{"encrypted zip in a zip", message(head, file{"z.zip", zipped(string(encryptedZip()), 1)}), plugins.Encrypted},
		{"encrypted, then EICAR", message(head, secret(), eicar), plugins.Infected},
		{"EICAR, then encrypted", message(head, eicar, secret()), plugins.Infected},
		{"too deep", message(head, deep()), plugins.Unscanned},
		{"EICAR too deep", message(head, file{"e.zip", zipped(virus.Eicar, 40)}), plugins.Unscanned},
		{"too deep, then EICAR", message(head, deep(), eicar), plugins.Infected},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, err := a.Scan(t.Context(), content(test.text))
			if test.want == plugins.Unscanned {
				if !errors.Is(err, host.ErrUnable) {
					t.Errorf("Scan = %v, %v; want %v", r.Verdict, err, host.ErrUnable)
				}
				return
			}
			if err != nil || r.Verdict != test.want {
				t.Fatalf("Scan = %v, %v; want %v", r.Verdict, err, test.want)
			}
			if r.Verdict == plugins.Infected && r.Virus != virus.EicarName {
				t.Errorf("the virus is %q, want %q", r.Virus, virus.EicarName)
			}
			if age := time.Since(r.SignaturesTime); !strings.HasPrefix(r.Engine, "ClamAV ") || r.Signatures != "27001" || age < 55*time.Minute || age > 65*time.Minute {
				t.Errorf("engine %q, signatures %q, %s old; want those of an hour ago", r.Engine, r.Signatures, age)
			}
		})
	}
}

// What clamd did not read it names beside what is encrypted as chance has it: ask often enough, and it is no verdict.
func TestALimitBesideSomethingEncryptedIsFound(t *testing.T) {
	t.Parallel()
	a := good(t, nil, newReal(t, time.Hour, "").address())
	hidden := 0
	for range 40 {
		r, err := a.Scan(t.Context(), content(message(head, file{"d.zip", zipped(random(50), 40)}, file{"s.zip", string(encryptedZip())})))
		if err == nil && r.Verdict == plugins.Encrypted {
			hidden++
		} else if !errors.Is(err, host.ErrUnable) {
			t.Fatalf("Scan = %v, %v", r.Verdict, err)
		}
	}
	if hidden > 12 { // one in 32 where clamd throws a coin; half without asking again
		t.Errorf("%d of 40 archives beyond the limits passed as encrypted", hidden)
	}
}

func TestTheSizeLimitOfClamdIsNotClean(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ setting, says string }{
		{"StreamMaxLength 1M\n", "size limit exceeded"},
		{"MaxFileSize 1M\n", "Heuristics.Limits.Exceeded.MaxFileSize"},
		{"MaxScanSize 1M\n", "Heuristics.Limits.Exceeded.MaxScanSize"},
	} {
		a := good(t, nil, newReal(t, time.Hour, test.setting).address())
		if r, err := a.Scan(t.Context(), content(head+"\r\n"+strings.Repeat(random(60), 1<<15))); !errors.Is(err, host.ErrUnable) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%q: Scan of 2 MB = %v, %v; want %v and %q", test.setting, r.Verdict, err, host.ErrUnable, test.says)
		}
		if r, err := a.Scan(t.Context(), content(message(head))); err != nil || r.Verdict != plugins.Clean {
			t.Errorf("%q: Scan of little = %v, %v", test.setting, r.Verdict, err)
		}
	}
}

func TestAClamdThatIsSetUpWrongStopsTheStart(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ setting, says string }{
		{"AlertEncrypted no\n", "write AlertEncrypted yes in its clamd.conf"},
		{"AlertExceedsMax no\n", "write AlertExceedsMax yes in its clamd.conf"},
	} {
		if _, err := plugged(t, nil, newReal(t, time.Hour, test.setting).address()); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("start with %q: %v; want %q", test.setting, err, test.says)
		}
	}
	if _, err := plugged(t, nil, "tcp:127.0.0.1:3310"); err == nil || !strings.Contains(err.Error(), "write network = true") {
		t.Errorf("start with TCP and without network: %v", err)
	}
	if _, err := plugged(t, map[string]any{"max_size": "lots"}, "unix:/none"); err == nil || !strings.Contains(err.Error(), "max_size") {
		t.Errorf("start with a size that is none: %v", err)
	}
}

func TestTCP(t *testing.T) {
	t.Parallel()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(free.Addr().String()) // it is one
	_ = free.Close()                                      // clamd takes it
	newReal(t, time.Hour, "TCPSocket "+port+"\nTCPAddr 127.0.0.1\n")
	a, err := isolated(t, host.Isolation{Network: true}, nil, "tcp:127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := a.Scan(t.Context(), content(message(head, file{"e.com", virus.Eicar}))); err != nil || r.Verdict != plugins.Infected {
		t.Errorf("Scan = %v, %v; want infected", r.Verdict, err)
	}
}

// A clamd that reads its signatures for a minute does not keep the mail server from starting; mail waits.
func TestAClamdThatComesLater(t *testing.T) {
	t.Parallel()
	r := newReal(t, time.Hour, "")
	r.kill()
	a := good(t, nil, r.address())
	if got, err := a.Scan(t.Context(), content(message(head))); !errors.Is(err, host.ErrUnable) {
		t.Errorf("without clamd: %v, %v; want %v", got.Verdict, err, host.ErrUnable)
	}
	health, err := a.Current().Health(t.Context())
	if err != nil || health.Problem == "" {
		t.Errorf("without clamd: health %+v, %v; want a problem", health, err)
	}
	r.start()
	if got, err := a.Scan(t.Context(), content(message(head))); err != nil || got.Verdict != plugins.Clean {
		t.Errorf("with clamd: %v, %v", got.Verdict, err)
	}
	// One that comes later, and is set up wrong, is not believed.
	r.kill()
	_, _ = a.Scan(t.Context(), content(message(head))) // it notices
	r.write("clamd.conf", "AlertEncrypted no\n"+virus.Config(r.socket, r.dir+"/db", r.dir+"/tmp"))
	r.start()
	if got, err := a.Scan(t.Context(), content(message(head))); !errors.Is(err, host.ErrUnable) || !strings.Contains(err.Error(), "AlertEncrypted yes") {
		t.Errorf("with a clamd that is set up wrong: %v, %v", got.Verdict, err)
	}
}

func TestSeveralClamdInTurn(t *testing.T) {
	t.Parallel()
	first, second := newReal(t, time.Hour, ""), newReal(t, 0, "")
	a := good(t, map[string]any{"connect_timeout": "500ms"}, "unix:"+first.dir+"/none", first.address(), second.address())
	engine := func(want string) {
		t.Helper()
		r, err := a.Scan(t.Context(), content(message(head, file{"e.com", virus.Eicar})))
		if err != nil || r.Verdict != plugins.Infected || r.Signatures != want {
			t.Errorf("Scan = %v with signatures %q, %v; want infected with %q", r.Verdict, r.Signatures, err, want)
		}
	}
	engine("27001")
	first.signal(syscall.SIGSTOP)
	engine("") // the second has no daily database
	first.signal(syscall.SIGCONT)
	within(t, "the first is asked again", func() bool {
		r, err := a.Scan(t.Context(), content(message(head)))
		return err == nil && r.Signatures == "27001"
	})
	first.kill()
	engine("")
	second.signal(syscall.SIGSTOP)
	begin := time.Now()
	if r, err := a.Scan(t.Context(), content(message(head))); !errors.Is(err, host.ErrUnable) {
		t.Errorf("with none: %v, %v; want %v", r.Verdict, err, host.ErrUnable)
	}
	if took := time.Since(begin); took > patience/2 {
		t.Errorf("it took %s to say that there is none", took)
	}
	second.signal(syscall.SIGCONT)
}

// A clamd that is killed while it has a message leaves it to the next; the last leaves it unscanned.
func TestAClamdKilledInTheMiddle(t *testing.T) {
	t.Parallel()
	first, second := newReal(t, time.Hour, ""), newReal(t, 0, "")
	// A text of this size keeps a clamd busy for seconds.
	text := head + "\r\n" + strings.Repeat("abcdefg hijklmnop 1234567890 +/,.-\r\n", 20<<20/36) + virus.Eicar
	a := good(t, nil, first.address(), second.address())
	scan := func(kill *real, want string) {
		t.Helper()
		done := make(chan struct{})
		go func() {
			defer close(done)
			within(t, "clamd has it", func() bool { return kill.busy() })
			kill.kill()
		}()
		r, err := a.Scan(t.Context(), content(text))
		<-done
		switch {
		case want == "" && !errors.Is(err, host.ErrUnable):
			t.Errorf("with no clamd left: %v, %v; want %v", r.Verdict, err, host.ErrUnable)
		case want != "" && (err != nil || r.Verdict != plugins.Infected):
			t.Errorf("with one left: %v, %v; want infected", r.Verdict, err)
		}
	}
	scan(first, "infected")
	scan(second, "")
}

func TestAHundredMegabytesCostNoMemory(t *testing.T) {
	t.Parallel()
	a := good(t, nil, newReal(t, time.Hour, "").address())
	if _, err := a.Scan(t.Context(), content(message(head))); err != nil {
		t.Fatal(err)
	}
	before := peak(t, a.Current().PID())
	big := host.Content{ReaderAt: zeroAt{}, Size: 100 << 20}
	if r, err := a.Scan(t.Context(), big); err != nil || r.Verdict != plugins.Clean {
		t.Fatalf("Scan of 100 MB = %v, %v", r.Verdict, err)
	}
	if more := peak(t, a.Current().PID()) - before; more > 8<<20 {
		t.Errorf("100 MB took %d KB of memory", more>>10)
	}
}

func TestSixtyFourAtOnce(t *testing.T) {
	t.Parallel()
	// Debian's own clamd.conf has these.
	a := good(t, nil, newReal(t, time.Hour, "MaxThreads 4\nMaxConnectionQueueLength 15\n").address())
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if r, err := a.Scan(ctx, content(message(head, file{"e.zip", zipped(virus.Eicar, 1)}))); err != nil || r.Verdict != plugins.Infected {
				t.Errorf("Scan = %v, %v", r.Verdict, err)
			}
		})
	}
	all.Wait()
}

func TestSignaturesThatAreTooOldAreAnAlarm(t *testing.T) {
	t.Parallel()
	a := good(t, map[string]any{"max_signature_age": "2d"}, newReal(t, 50*time.Hour, "").address())
	if r, err := a.Scan(t.Context(), content(message(head))); err != nil || r.Verdict != plugins.Clean {
		t.Errorf("Scan = %v, %v; old signatures are better than none", r.Verdict, err)
	}
	h, err := a.Current().Health(t.Context())
	if err != nil || !strings.Contains(h.Problem, "50 hours old") {
		t.Errorf("health %+v, %v; want a problem", h, err)
	}
	age := -1.0
	for _, m := range h.Measures {
		if m.Name == "signatures_age_seconds" {
			age = m.Value
		}
	}
	if age < 49*3600 || age > 51*3600 {
		t.Errorf("signatures_age_seconds is %v, want 50 hours", age)
	}
}
