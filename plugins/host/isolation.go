package host

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"
)

// Isolation is what a plug-in may do. Its zero value is: run as the host's own user, which must not be root, without
// network.
type Isolation struct {
	// User that it runs as. It MUST be written when the host is root.
	User string
	// Network says whether it may use the network, that of this machine included. Unix sockets need none.
	Network bool
}

// Capabilities of Linux that keeping apart needs.
const (
	capSetgid   = 6
	capSetuid   = 7
	capSysAdmin = 21
)

// account is who a plug-in runs as.
type account struct {
	uid, gid int
	other    bool // not the host's own
}

func (i Isolation) account() (account, error) {
	own := account{uid: os.Geteuid(), gid: os.Getegid()}
	if i.User == "" {
		if own.uid == 0 {
			return own, fmt.Errorf("%w: it would run as root; write user = the name of a user of its own", ErrIsolation)
		}
		return own, nil
	}
	found, err := user.Lookup(i.User)
	if err != nil {
		return own, fmt.Errorf("%w: user %q: %w", ErrIsolation, i.User, err)
	}
	uid, err1 := strconv.Atoi(found.Uid)
	gid, err2 := strconv.Atoi(found.Gid)
	if err := errors.Join(err1, err2); err != nil {
		return own, fmt.Errorf("%w: user %q: %w", ErrIsolation, i.User, err)
	}
	if uid == 0 {
		return own, fmt.Errorf("%w: user %q is root; write another", ErrIsolation, i.User)
	}
	return account{uid: uid, gid: gid, other: uid != own.uid}, nil
}

// attributes are how the process is made. It dies with the thread that makes it.
func (i Isolation) attributes() (*syscall.SysProcAttr, error) {
	who, err := i.account()
	if err != nil {
		return nil, err
	}
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if who.other {
		if !capable(capSetuid) || !capable(capSetgid) {
			return nil, fmt.Errorf("%w: to run it as %q the host needs to be root, or CAP_SETUID and CAP_SETGID", ErrIsolation, i.User)
		}
		attr.Credential = &syscall.Credential{Uid: uint32(who.uid), Gid: uint32(who.gid), Groups: []uint32{}}
	}
	if i.Network {
		return attr, nil
	}
	attr.Cloneflags = syscall.CLONE_NEWNET
	if !capable(capSysAdmin) {
		if who.other {
			return nil, fmt.Errorf("%w: without CAP_SYS_ADMIN it keeps the network; give it to the host, or write network = true", ErrIsolation)
		}
		attr.Cloneflags |= syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: who.uid, HostID: who.uid, Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: who.gid, HostID: who.gid, Size: 1}}
	}
	return attr, nil
}

// capable says whether this process has a capability of Linux in effect.
func capable(bit uint) bool {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return os.Geteuid() == 0
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "CapEff:"); ok {
			set, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
			return err == nil && set&(1<<bit) != 0
		}
	}
	return false
}

// startError explains why a process could not be made.
func startError(path string, err error) error {
	switch {
	case errors.Is(err, syscall.EPERM):
		return fmt.Errorf("%w: the system forbids another user or a network of its own: %w; run the host as root, or write network = true", ErrIsolation, err)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%w: its user cannot run %s: %w; chmod a+rx it, and a+x the folders above", ErrIsolation, path, err)
	default:
		return fmt.Errorf("%w: %w", ErrHandshake, err)
	}
}
