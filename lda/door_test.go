package lda

import (
	"context"
	"net"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/effect"
)

func TestGreeting(t *testing.T) {
	w := newWorld(t)
	c := must(textproto.Dial("unix", w.config.Agent.LMTPSocket.Address))(t)
	defer c.Close()
	_, _, _ = c.ReadResponse(220)
	_ = c.PrintfLine("LHLO test")
	_, text, err := c.ReadResponse(250)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"DSN", "8BITMIME", "ENHANCEDSTATUSCODES", "SIZE"} {
		if !strings.Contains("\n"+text+"\n", "\n"+want+"\n") {
			t.Errorf("%s is not offered, or with a limit: %q", want, text)
		}
	}
}

func TestSocketsAreForTheGroupOfTheirFolder(t *testing.T) {
	w := newWorld(t)
	for _, e := range []string{w.config.Agent.LMTPSocket.Address, w.config.Agent.DSNSocket.Address} {
		info := must(os.Stat(e))(t)
		if got := info.Mode(); got != os.ModeSocket|0o660 {
			t.Errorf("mode of %s = %v, want 0660", filepath.Base(e), got)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := w.agent.Serve(ctx); err == nil || !strings.Contains(err.Error(), "another process serves it") {
		t.Errorf("a second agent on the same sockets: %v, want a refusal", err)
	}
}

func TestStaleSocketIsReplaced(t *testing.T) {
	w := newWorld(t)
	w.stop()
	l := must(net.ListenUnix("unix", &net.UnixAddr{Name: w.config.Agent.LMTPSocket.Address, Net: "unix"}))(t)
	l.SetUnlinkOnClose(false)
	_ = l.Close() // as a process that was killed leaves it
	w.start()
}

// TestEndBeforeTheDoorsAreServed: an agent that is told to end while it starts ends.
func TestEndBeforeTheDoorsAreServed(t *testing.T) {
	w := newWorld(t)
	w.stop()
	for range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		ended := make(chan error, 1)
		go func() { ended <- w.agent.Serve(ctx) }()
		select {
		case err := <-ended:
			if err != nil {
				t.Fatalf("Serve: %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("the agent does not end")
		}
	}
}

// TestShutdown: connections that Postfix only keeps are closed at once; a message in hand is ended and answered.
func TestShutdown(t *testing.T) {
	w := newWorld(t)
	kept := must(net.Dial("unix", w.config.Agent.LMTPSocket.Address))(t)
	defer kept.Close()
	text, _, _ := w.incoming(&message{from: anna, to: []string{mario}})
	reached, goOn := make(chan bool), make(chan bool)
	w.atStep(func(step, name string) {
		if step == "before "+effect.StepHandOver && name == effectDelivery {
			reached <- true
			<-goOn
		}
	})
	answers := make(chan []string)
	go func() {
		got, err := lmtpDialogue(w.config.Agent.LMTPSocket, text, "<"+anna+">", []string{mario})
		if err != nil {
			got = []string{err.Error()}
		}
		answers <- got
	}()
	<-reached
	stopped := make(chan bool)
	go func() { w.stop(); close(stopped) }()
	if err := kept.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 1024)
	for {
		if _, err := kept.Read(buffer); err != nil {
			if strings.Contains(err.Error(), "timeout") {
				t.Error("an idle connection is still open")
			}
			break
		}
	}
	select {
	case <-stopped:
		t.Error("the agent ended with a message in hand")
	default:
	}
	goOn <- true
	same(t, "answer to the message in hand", <-answers, []string{"250 2.0.0"})
	<-stopped
	same(t, "mario", w.in(mario), []string{"posta-certificata"})
}

// TestLostConnectionEndsTheWork: when Postfix has given up, nothing new is begun.
func TestLostConnectionEndsTheWork(t *testing.T) {
	w := newWorld(t)
	text, _, _ := w.incoming(&message{from: anna, to: []string{mario}})
	c := must(net.Dial("unix", w.config.Agent.LMTPSocket.Address))(t)
	gone := make(chan bool)
	w.atStep(func(step, name string) {
		if step == "after done" && name == effectTakeCharge {
			_ = c.Close()
			gone <- true
		}
	})
	conn := textproto.NewConn(c)
	_, _, _ = conn.ReadResponse(220)
	for _, line := range []string{"LHLO x", "MAIL FROM:<" + anna + ">", "RCPT TO:<" + mario + ">", "DATA"} {
		_ = conn.PrintfLine("%s", line)
		_, _, _ = conn.ReadResponse(0)
	}
	data := conn.DotWriter()
	_, _ = data.Write(text)
	_ = data.Close()
	<-gone
	eventually(t, "the end of the work", func() bool { return strings.Contains(w.log.String(), "connection is gone") })
	same(t, "mario", w.in(mario), []string{})
	w.atStep(nil)
	same(t, "presented again", w.present(text, anna, mario), []string{"250 2.0.0"})
	same(t, "mario", w.in(mario), []string{"posta-certificata"})
}

func TestCutMessageIsTemporary(t *testing.T) {
	w := newWorld(t)
	text, _, _ := w.incoming(&message{from: anna, to: []string{mario}})
	conn := must(textproto.Dial("unix", w.config.Agent.LMTPSocket.Address))(t)
	_, _, _ = conn.ReadResponse(220)
	for _, line := range []string{"LHLO x", "MAIL FROM:<" + anna + ">", "RCPT TO:<" + mario + ">", "DATA"} {
		_ = conn.PrintfLine("%s", line)
		_, _, _ = conn.ReadResponse(0)
	}
	_, _ = conn.W.Write(text[:len(text)/2])
	_ = conn.W.Flush()
	_ = conn.Close()
	eventually(t, "the end of the message", func() bool { return strings.Contains(w.log.String(), "did not arrive whole") })
	w.nothing()
}

func TestReceiptKinds(t *testing.T) {
	conformance.Covers(t, "C010", "C158", "C160", "C162", "C163", "C164", "C165", "C169", "C178")
	w := newWorld(t)
	for _, c := range []struct {
		m    message
		want []string
	}{
		{message{to: []string{mario}, cc: []string{luigi}, header: "Reply-To: " + bruno + "\r\n"}, []string{
			anna + ": avvenuta-consegna " + luigi, anna + ": avvenuta-consegna " + mario + " with original",
		}},
		{message{to: []string{mario}, cc: []string{luigi}, receipt: "sintetica"}, []string{
			anna + ": avvenuta-consegna " + luigi, anna + ": avvenuta-consegna " + mario,
		}},
		{message{to: []string{mario}, cc: []string{mario, luigi}}, []string{ // in both counts as primary
			anna + ": avvenuta-consegna " + luigi, anna + ": avvenuta-consegna " + mario + " with original",
		}},
	} {
		c.m.from = anna
		text, _, _ := w.incoming(&c.m, mario, luigi)
		same(t, "answers", w.present(text, anna, mario, luigi), []string{"250 2.0.0", "250 2.0.0"})
		same(t, "out", w.outgoing(), append(c.want, betaService+": presa-in-carico "+mario+" "+luigi))
	}
}

func TestSenderThatIsAnAlias(t *testing.T) {
	conformance.Covers(t, "C009")
	w := newWorld(t)
	text, _, _ := w.submission(&message{from: info, to: []string{anna}})
	same(t, "answers", w.present(text, info, "accettazione"+internal), []string{"250 2.0.0"})
	for _, box := range []string{mario, luigi} {
		same(t, box, w.in(box), []string{"accettazione"})
	}
}
