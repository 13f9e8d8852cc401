package kill

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// patience is how long a test waits for one thing; on an idle machine all of them come within seconds.
const patience = 60 * time.Second

// until asks again and again and fails the test when the answer stays false.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("in %s it never came to this: %s", patience, what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// unset removes controls of faultd.
func unset(names ...string) {
	for _, name := range names {
		_ = os.Remove(filepath.Join(controls, name)) // it may not be there
	}
}

func is(name string) bool {
	_, err := os.Stat(filepath.Join(controls, name))
	return err == nil
}

// held runs begin, whose mail brings an agent to a point, and meanwhile while the agent waits there.
func held(t *testing.T, point string, begin, meanwhile func()) {
	t.Helper()
	unset("paused", "resume")
	set(t, "pause", point)
	t.Cleanup(func() {
		unset("pause")
		set(t, "resume", "")
	})
	begin()
	until(t, "the agent is at "+point, func() bool { return is("paused") })
	meanwhile()
	set(t, "resume", "")
}

// restart ends a daemon with SIGTERM or SIGKILL, and waits until the supervisor has started it again and the lab answers.
func restart(t *testing.T, name string, kill func(pid int) error) {
	t.Helper()
	old := world.Processes().PID(name)
	if err := kill(old); err != nil {
		t.Fatal(err)
	}
	until(t, name+" runs again", func() bool {
		pid := world.Processes().PID(name)
		return pid != 0 && pid != old
	})
	if err := world.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// queued is one message of a queue, as postqueue -j says it.
type queued struct {
	ID         string `json:"queue_id"`
	Sender     string `json:"sender"`
	Recipients []struct {
		Address string `json:"address"`
		Reason  string `json:"delay_reason"`
	} `json:"recipients"`
}

// queue lists a queue: "ALFA_POSTFIX_CONFIG" and the like.
func queue(t *testing.T, config string) []queued {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "postqueue", "-c", env[config], "-j").Output()
	if err != nil {
		t.Fatalf("postqueue: %v", err)
	}
	var list []queued
	for d := json.NewDecoder(strings.NewReader(string(out))); d.More(); {
		var q queued
		if err := d.Decode(&q); err != nil {
			t.Fatal(err)
		}
		list = append(list, q)
	}
	return list
}

// deferred waits until a queue holds one message, each of whose recipients was put off for a reason with text in it.
func deferred(t *testing.T, config, text string) queued {
	t.Helper()
	var list []queued
	until(t, "one message in "+config+" put off with "+text, func() bool {
		list = queue(t, config)
		if len(list) != 1 {
			return false
		}
		for _, r := range list[0].Recipients {
			if !strings.Contains(r.Reason, text) {
				return false
			}
		}
		return true
	})
	return list[0]
}

// flushed makes Postfix try again at once until something is true.
func flushed(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go flush(ctx)
	until(t, what, ok)
}

// logged begins to watch the log of a daemon, such as "alfa-lda"; what it returns gives what came since.
func logged(t *testing.T, name string) func() string {
	t.Helper()
	file := filepath.Join(filepath.Dir(env["ALFA_POSTFIX_LOG"]), name+".log")
	before, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return func() string {
		now, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(now[len(before):])
	}
}
