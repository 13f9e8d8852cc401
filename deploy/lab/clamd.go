package lab

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab/supervise"
	"github.com/ceralacca/ceralacca/deploy/lab/virus"
	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/plugins/host"
)

// roleClamd is the clamd of a certified host.
const roleClamd = "clamd"

// pluginName is the plug-in that asks it, and its file beside the daemons' program.
const pluginName = "clamav"

// signaturesVersion is what the clamd of the lab state.
const signaturesVersion = 27000

// confinement is how the daemons start plug-ins: as nobody, which needs what deploy/systemd/plugins.conf gives them.
// Where the machine does not allow it, as themselves and with network.
type confinement struct {
	user   string
	groups []uint32
	caps   []uintptr
}

// Capabilities of Linux.
const (
	capSetgid = 6
	capSetuid = 7
)

// findConfinement tries what the host of plug-ins does, on a program that does nothing.
func (a *accounts) findConfinement() confinement {
	nobody, err := user.Lookup("nobody")
	if err != nil {
		return confinement{}
	}
	uid, err1 := strconv.Atoi(nobody.Uid)
	gid, err2 := strconv.Atoi(nobody.Gid)
	if err1 != nil || err2 != nil {
		return confinement{}
	}
	// In a namespace of its own the process has all rights over it.
	cmd := exec.Command("/bin/true")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}},
		Credential:  &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid), Groups: []uint32{}}, GidMappingsEnableSetgroups: true,
	}
	if cmd.Run() != nil {
		return confinement{}
	}
	return confinement{user: nobody.Username, groups: []uint32{uint32(gid)}, caps: []uintptr{capSetgid, capSetuid}}
}

// scans says whether the lab has an antivirus.
func (l *Lab) scans() bool { return l.options.Daemons && l.options.Antivirus }

func (l *Lab) plugin() string { return filepath.Join(l.runtime, "bin", pluginName) }

// pluginLines are those of [plugins.clamav].
func (l *Lab) pluginLines() ([]string, error) {
	sum, err := host.Checksum(l.plugin())
	if err != nil {
		return nil, err
	}
	lines := []string{fmt.Sprintf("path = %q", l.plugin()), fmt.Sprintf("sha256 = %q", sum)}
	if l.confinement.user == "" {
		return append(lines, "network = true"), nil
	}
	return append(lines, fmt.Sprintf("user = %q", l.confinement.user)), nil
}

// writeClamd writes the configuration of the host's clamd, and its signatures: of the EICAR test file, and nothing else.
func (l *Lab) writeClamd(h *Host) error {
	uid, temporary := l.accounts.scanner, h.path("av", "tmp")
	for _, folder := range []string{h.path("av"), h.ClamdDatabase, temporary} {
		if err := ownedFolder(folder, 0o755, uid, uid); err != nil {
			return err
		}
	}
	// An hour old, as after freshclam.
	database := virus.Database(virus.EicarSignature(), signaturesVersion, clock.System{}.Now().Add(-time.Hour))
	if err := os.WriteFile(filepath.Join(h.ClamdDatabase, virus.Daily), database, 0o644); err != nil {
		return err
	}
	return os.WriteFile(h.ClamdConfig, []byte(virus.Config(h.ClamdSocket, h.ClamdDatabase, temporary)), 0o644)
}

func (l *Lab) startClamd(h *Host) error {
	program, err := exec.LookPath("clamd")
	if err != nil {
		return fmt.Errorf("no clamd is installed, run make deps: %w", err)
	}
	name := h.Name + "-" + roleClamd
	return l.processes.Start(supervise.Program{
		Name: name,
		Args: []string{program, "-c", h.ClamdConfig},
		UID:  l.accounts.scanner,
		GID:  l.accounts.scanner,
		Log:  l.logPath(name),
		Stop: 2 * time.Second,
	})
}
