package wire

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestNegotiation(t *testing.T) {
	s := serve(t, func(Macros) Handler { return &script{} })
	m := s.dial(t)
	m.send('O', u32(6, 0x1ff, 0x1fffff))
	got := m.recv()
	if want := "O" + u32(6, uint32(actions), uint32(steps)); !strings.HasPrefix(got, want) {
		t.Fatalf("negotiation %q, want %q", got, want)
	}
	for _, list := range []string{u32(2) + "{auth_authen} {client_addr} {daemon_name}\x00", u32(5) + "i\x00"} {
		if !strings.Contains(got, list) {
			t.Errorf("negotiation %q lacks the macros %q", got, list)
		}
	}
	for name, offer := range map[string]string{
		"an old version": u32(2, 0x1ff, 0x1fffff), "too few actions": u32(6, 0x1f, 0x1fffff),
		"replies to body pieces": u32(6, 0x1ff, 0x1fffff&^(1<<19)), "a short one": "\x00\x00",
	} {
		m := s.dial(t)
		m.send('O', offer)
		if got := m.recv(); got != "" {
			t.Errorf("to %s the milter said %q, want the end", name, got)
		}
	}
}

func TestDialogue(t *testing.T) {
	heard := make(chan string, 20)
	s := serve(t, func(m Macros) Handler {
		return &script{
			log: func(text string) { heard <- text },
			rcpt: func(addr string) Reply {
				if addr == "no@e.f" {
					return SMTP(550, "5.7.1", "100% no")
				}
				return Continue()
			},
			end: func(_ context.Context, e *Edits) Reply {
				e.DeleteHeader(2, "To")
				e.AddHeader("To", " x,\r\n y")
				e.AddRcpt("n@internal")
				e.DeleteRcpt("d@e.f")
				e.ChangeFrom("a@b.c", "ENVID=1")
				w := e.Body()
				_, _ = w.Write([]byte("new "))
				_, _ = w.Write([]byte("body\r\n"))
				_ = w.Close()
				e.InsertHeader(1, "X", " y")
				return Continue()
			},
		}
	})
	m := s.dial(t).negotiate()
	m.send('D', "M{auth_authen}\x00mario\x00")
	m.send('M', "<a@b.c>\x00SIZE=3\x00BODY=8BITMIME\x00")
	m.want("c")
	m.send('R', "<no@e.f>\x00")
	m.want("y550 5.7.1 100%% no\x00")
	m.send('R', "d@e.f\x00X=y\x00")
	m.want("c")
	m.send('L', "To\x00 a,\n\tb \x00")
	m.send('L', "Empty\x00\x00")
	m.send('N')
	m.send('B', strings.Repeat("z", 65535))
	m.send('B', "end\r\n")
	m.send('D', "Ei\x00QUEUE1\x00")
	m.send('E')
	m.want("m"+u32(2)+"To\x00\x00", "hTo\x00 x,\n y\x00", "+<n@internal>\x00", "-<d@e.f>\x00", "e<a@b.c>\x00ENVID=1\x00",
		"bnew body\r\n", "i"+u32(1)+"X\x00 y\x00", "a")
	want := []string{
		`mail "a@b.c" ["SIZE=3" "BODY=8BITMIME"]`, `rcpt "no@e.f" []`, `rcpt "d@e.f" ["X=y"]`,
		`header "To" " a,\n\tb "`, `header "Empty" ""`, "end of header",
		`body "` + strings.Repeat("z", 65535) + `"`, `body "end\r\n"`, `end "QUEUE1"`, "close",
	}
	var got []string
	for range want {
		got = append(got, <-heard)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what the handler heard (-want +got):\n%s", diff)
	}
}

func TestMacrosAreGoodOnce(t *testing.T) {
	var logins []string
	s := serve(t, func(m Macros) Handler {
		logins = append(logins, m["{auth_authen}"])
		return &script{}
	})
	m := s.dial(t).negotiate()
	mail := func() {
		m.send('M', "<a@b.c>\x00")
		m.want("c")
	}
	m.send('D', "M{auth_authen}\x00mario\x00")
	mail()
	m.send('A')
	mail() // no macros came: nobody is logged in
	m.send('D', "M{auth_authen}\x00luigi\x00")
	m.send('K') // another client
	mail()
	if want := []string{"mario", "", ""}; !cmp.Equal(want, logins) {
		t.Errorf("logins %q, want %q", logins, want)
	}
}

func TestHandlersAreClosed(t *testing.T) {
	made, closed := 0, make(chan bool, 10)
	s := serve(t, func(Macros) Handler {
		made++
		h := &script{closed: func() { closed <- true }}
		if made == 3 {
			h.mail = func() Reply { return SMTP(553, "5.7.1", "no") }
		}
		return h
	})
	m := s.dial(t).negotiate()
	for _, how := range []func(){
		func() { m.begin(); m.send('A') },
		func() { m.begin(); m.send('E'); m.want("a") },
		func() { m.send('M', "<a@b.c>\x00"); m.want("y553 5.7.1 no\x00") },
		func() { m.begin(); m.send('K') },
		func() { m.begin(); m.send('M', "<a@b.c>\x00"); m.want("c") }, // Postfix does not, but nothing may leak
		func() { _ = m.c.Close() },
	} {
		how()
		select {
		case <-closed:
		case <-time.After(20 * time.Second):
			t.Fatalf("handler %d was not closed", made)
		}
	}
}

func TestPanicCostsOneTransaction(t *testing.T) {
	for _, where := range []string{"new", "mail", "rcpt", "body", "end", "within the body", "close"} {
		first := true
		s := serve(t, func(Macros) Handler {
			h := &script{}
			if !first {
				return h
			}
			first = false
			switch where {
			case "new":
				panic(where)
			case "mail":
				h.mail = func() Reply { panic(where) }
			case "rcpt":
				h.rcpt = func(string) Reply { panic(where) }
			case "body":
				h.body = func() { panic(where) }
			case "end":
				h.end = func(context.Context, *Edits) Reply { panic(where) }
			case "within the body":
				h.end = func(_ context.Context, e *Edits) Reply {
					_, _ = e.Body().Write(make([]byte, 100))
					panic(where)
				}
			case "close":
				h.closed = func() { panic(where) }
			}
			return h
		})
		m := s.dial(t).negotiate()
		m.send('M', "<a@b.c>\x00")
		last := m.recv()
		for _, next := range []struct{ command, args string }{{"R", "<d@e.f>\x00"}, {"B", "x"}, {"E", ""}} {
			if last != "c" {
				break
			}
			m.send(next.command[0], next.args)
			if next.command != "B" {
				last = m.recv()
			}
		}
		if want := map[bool]string{true: "a", false: "t"}[where == "close"]; last != want {
			t.Errorf("panic in %s: the last reply was %q, want %q", where, last, want)
		}
		m.begin()
		m.send('E')
		m.want("a")
		if n := s.panics.Load(); n != 1 {
			t.Errorf("panic in %s: counted %d, want 1", where, n)
		}
	}
}

func TestBodyLeavesInPieces(t *testing.T) {
	const size = 3*maxPiece + 100
	s := serve(t, func(Macros) Handler {
		return &script{end: func(_ context.Context, e *Edits) Reply {
			w := e.Body()
			for written := 0; written < size; written += 7 {
				_, _ = w.Write([]byte("1234567")[:min(7, size-written)])
			}
			if err := w.Close(); err != nil {
				t.Error(err)
			}
			return Continue()
		}}
	})
	m := s.dial(t).negotiate()
	m.begin()
	m.send('E')
	total := 0
	for {
		p := m.recv()
		if p == "a" {
			break
		}
		if p[0] != 'b' || len(p)-1 > maxPiece {
			t.Fatalf("packet %q of %d bytes", p[0], len(p))
		}
		total += len(p) - 1
	}
	if total != size {
		t.Errorf("%d bytes arrived, want %d", total, size)
	}
}

// An unfinished body, or an edit within one, would end with Postfix holding half a message.
func TestEditsThatPostfixWouldNotTake(t *testing.T) {
	for name, end := range map[string]func(*Edits){
		"body left open":       func(e *Edits) { _, _ = e.Body().Write([]byte("x")) },
		"edit in an open body": func(e *Edits) { w := e.Body(); e.AddRcpt("a@b.c"); _ = w.Close() },
		"two bodies":           func(e *Edits) { _ = e.Body().Close(); _ = e.Body().Close() },
		"empty body left open": func(e *Edits) { _ = e.Body() },
	} {
		s := serve(t, func(Macros) Handler {
			return &script{end: func(_ context.Context, e *Edits) Reply {
				end(e)
				if e.Err() == nil {
					t.Errorf("%s: no error", name)
				}
				return Continue()
			}}
		})
		m := s.dial(t).negotiate()
		m.begin()
		m.send('E')
		last := ""
		for last != "a" && last != "t" {
			last = m.recv()
		}
		if last != "t" {
			t.Errorf("%s: %q, want 451", name, last)
		}
	}
}

func TestPostfixIsToldToWait(t *testing.T) {
	go1, go2 := make(chan bool), make(chan bool)
	s := serve(t, func(Macros) Handler {
		return &script{end: func(_ context.Context, e *Edits) Reply {
			<-go1
			w := e.Body()
			_, _ = w.Write([]byte("x"))
			<-go2
			_ = w.Close()
			return Continue()
		}}
	})
	m := s.dial(t).negotiate()
	m.begin()
	m.send('E')
	m.want("p", "p", "p")
	close(go1)
	time.AfterFunc(100*time.Millisecond, func() { close(go2) }) // ten times as long as it takes to say "wait"
	for {
		if p := m.recv(); p == "bx" {
			break
		} else if p != "p" {
			t.Fatalf("the milter said %q", p)
		}
	}
	m.want("a")
}

func TestRepliesAreOneLine(t *testing.T) {
	for _, r := range []Reply{{}, SMTP(250, "2.0.0", "ok"), SMTP(550, "5.0.0", "a\r\nb"), SMTP(451, "4.0.0\x00", "a")} {
		if r.action != 0 {
			t.Errorf("%v is not the plain 451", r)
		}
	}
}

func TestMalformedPacketsEndTheConnection(t *testing.T) {
	s := serve(t, func(Macros) Handler { return &script{} })
	for name, packet := range map[string]string{
		"no length":           u32(0),
		"huge length":         u32(1<<20 + 1),
		"macros without end":  u32(4) + "DMab",
		"no macro command":    u32(1) + "D",
		"odd macro":           u32(5) + "DMab\x00",
		"path without end":    u32(4) + "M<a>",
		"header without name": u32(3) + "Lab",
		"header without end":  u32(5) + "La\x00bc",
		"unknown command":     u32(1) + "?",
	} {
		m := s.dial(t).negotiate()
		m.raw([]byte(packet))
		if got := m.recv(); got != "" {
			t.Errorf("%s: the milter said %q, want the end", name, got)
		}
	}
	if n := s.panics.Load(); n != 0 {
		t.Errorf("%d panics", n)
	}
}

func TestShutdown(t *testing.T) {
	inHand := make(chan context.Context, 1)
	release := make(chan bool)
	s := serve(t, func(Macros) Handler {
		return &script{end: func(ctx context.Context, _ *Edits) Reply {
			inHand <- ctx
			<-release
			return Continue()
		}}
	})
	idle, busy, slow := s.dial(t).negotiate(), s.dial(t).negotiate(), s.dial(t).negotiate()
	slow.begin()
	slow.send('R', "<x@y.z>\x00") // answered: the transaction has begun for sure
	slow.want("c")
	busy.begin()
	busy.send('E')
	<-inHand
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { ended <- s.Shutdown(ctx) }()
	if got := idle.recv(); got != "" {
		t.Errorf("the idle connection got %q, want its end", got)
	}
	if c, err := net.Dial("unix", s.path); err == nil {
		_ = c.Close()
		t.Error("the socket still takes connections")
	}
	close(release)
	for {
		if got := busy.recv(); got == "a" {
			break
		} else if got != "p" {
			t.Fatalf("the transaction in hand got %q, want its verdict", got)
		}
	}
	if got := busy.recv(); got != "" {
		t.Errorf("after its verdict the connection got %q, want its end", got)
	}
	select {
	case err := <-ended:
		t.Fatalf("Shutdown did not wait for the slow client: %v", err)
	default:
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown: %v, want canceled", err)
	}
	if got := slow.recv(); got != "" {
		t.Errorf("the slow client got %q, want the end", got)
	}
}

func FuzzConnection(f *testing.F) {
	whole := func(packets ...string) (b []byte) {
		for _, p := range packets {
			b = append(binary.BigEndian.AppendUint32(b, uint32(len(p))), p...)
		}
		return b
	}
	offer := "O" + u32(6, 0x1ff, 0x1fffff)
	f.Add(whole(offer, "DMi\x00x\x00", "M<a@b.c>\x00SIZE=1\x00", "R<d@e.f>\x00", "LTo\x00 x\x00", "N", "Bbody", "Ex", "Q"))
	f.Add(whole(offer, "M<a@b.c>\x00", "A", "K", "M<>\x00", "E"))
	f.Add(whole("M<a@b.c>\x00", "C", "H", "U", "T"))
	f.Add([]byte{0, 0, 0, 0})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 'B'})
	s := serve(f, func(Macros) Handler { return &script{} })
	f.Fuzz(func(t *testing.T, b []byte) {
		m := s.dial(t)
		_, _ = m.c.Write(b) // the milter may have hung up before
		_ = m.c.(*net.UnixConn).CloseWrite()
		for range len(b) + 2 {
			if m.recv() == "" {
				break
			}
		}
		if s.panics.Load() != 0 {
			t.Fatal("panic")
		}
	})
}

// FuzzDecoders: what a decoder takes, it takes whole.
func FuzzDecoders(f *testing.F) {
	f.Add([]byte("M{auth_authen}\x00mario\x00i\x00\x00"))
	f.Add([]byte("<a@b.c>\x00SIZE=1\x00"))
	f.Add([]byte("To\x00 a,\n b\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if command, m, err := parseMacros(b); err == nil && (command != b[0] || len(m) > len(b)) {
			t.Errorf("macros %q of %q", m, b)
		}
		if addr, params, err := parsePath(b); err == nil {
			again := "<" + addr + ">\x00"
			if b[0] != '<' || !strings.HasPrefix(string(b), again) {
				again = addr + "\x00"
			}
			for _, p := range params {
				again += p + "\x00"
			}
			if again != string(b) {
				t.Errorf("path %q %q of %q", addr, params, b)
			}
		}
		if name, value, err := parseHeader(b); err == nil && !strings.HasPrefix(string(b), name+"\x00"+string(value)+"\x00") {
			t.Errorf("header %q %q of %q", name, value, b)
		}
		_ = checkOffer(b)
	})
}
