package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/ceralacca/ceralacca/internal/fsx"
)

// spoolSettings are those of smstools.
type spoolSettings struct {
	Outgoing string `json:"outgoing"`
	Staging  string `json:"staging"`
}

// spool is the folder in which smsd of smstools finds what it is to send.
//
// A file is made in staging, which is on the same file system, and moved from there: that it is not in staging any more
// proves that smsd has it. So each is handed over exactly once, whenever this process is killed.
type spool struct{ outgoing, staging string }

var (
	_ channel = spool{}
	_ sweeper = spool{}
)

func newSpool(s spoolSettings) (spool, error) {
	sp := spool{or(s.Outgoing, "/var/spool/sms/outgoing"), s.Staging}
	sp.staging = or(sp.staging, filepath.Join(filepath.Dir(sp.outgoing), "ceralacca"))
	var devices [2]uint64
	for i, folder := range []string{sp.outgoing, sp.staging} {
		info, err := os.Stat(folder)
		if err != nil || !info.IsDir() {
			return sp, fmt.Errorf("smstools: %s is no folder that this user can use; make it, owned by the plug-in's user and the group of smsd", folder)
		}
		if err := syscall.Access(folder, 7); err != nil {
			return sp, fmt.Errorf("smstools: this user cannot write into %s; its primary group must be that of smsd: %w", folder, err)
		}
		devices[i] = info.Sys().(*syscall.Stat_t).Dev
	}
	if devices[0] != devices[1] {
		return sp, fmt.Errorf("smstools: staging %s is on another file system than %s; write a folder beside it", sp.staging, sp.outgoing)
	}
	return sp, nil
}

func (s spool) name() string     { return "smstools" }
func (s spool) before() legState { return staged }
func (s spool) once() bool       { return false }

// spoolPrefix begins the names of our files.
const spoolPrefix = "ceralacca-"

func (s spool) file(p parcel) string { return spoolPrefix + p.id }

// prepare writes the file aside. smsd chooses the alphabet: that of GSM, or UCS-2 when it does not do.
func (s spool) prepare(p parcel) error {
	text := "To: " + strings.TrimPrefix(p.to, "+") + "\nAlphabet: UTF\n\n" + p.text
	return fsx.WriteBytes(filepath.Join(s.staging, s.file(p)), 0o660, []byte(text))
}

// send moves it. One that is not there was moved before.
func (s spool) send(_ context.Context, p parcel, resumed bool) (answer, error) {
	err := fsx.Carry(filepath.Join(s.staging, s.file(p)), filepath.Join(s.outgoing, s.file(p)))
	if errors.Is(err, fs.ErrNotExist) && resumed {
		if _, there := os.Stat(s.outgoing); there == nil {
			return taken, nil
		}
	}
	if err != nil {
		return perhaps, err
	}
	return taken, nil
}

// sweep implements sweeper: a notice that another took the place of, before it was sent, leaves its file in staging, and so
// does one that was given up. A file that is not there counts as handed over, so what another process might still send
// must be let alone: its age has to be beyond that.
func (s spool) sweep(now time.Time, age time.Duration, open map[string]bool) error {
	return older(s.staging, now, age, func(name string) bool {
		if strings.HasPrefix(name, "."+spoolPrefix) {
			return true
		}
		id, ours := strings.CutPrefix(name, spoolPrefix)
		return ours && !open[id]
	})
}
