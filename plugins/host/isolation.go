package host

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
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
	capChown       = 0
	capDacOverride = 1
	capSetgid      = 6
	capSetuid      = 7
	capSysAdmin    = 21
)

// account is who a plug-in runs as.
type account struct {
	uid, gid int
	other    bool // not the host's own
	shares   bool // the host cannot give files away: both reach them by the group of the account
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
	switch {
	case uid == 0:
		return own, fmt.Errorf("%w: user %q is root; write another", ErrIsolation, i.User)
	case uid == own.uid:
		return own, nil
	}
	a := account{uid: uid, gid: gid, other: true, shares: !capable(capChown, capDacOverride)}
	return a, a.reachable(i.User)
}

// reachable asks that the host may become the account, and reach its files.
func (a account) reachable(name string) error {
	if !capable(capSetuid, capSetgid) {
		return fmt.Errorf("%w: to run it as %q this process needs to be root, or CAP_SETUID and CAP_SETGID, "+
			"which deploy/systemd/plugins.conf gives the daemons", ErrIsolation, name)
	}
	groups, err := os.Getgroups()
	if err != nil || a.shares && a.gid != os.Getegid() && !slices.Contains(groups, a.gid) {
		return fmt.Errorf("%w: to share files with %q this process needs to be root, or in the group %d of that user; "+
			"under systemd, SupplementaryGroups=%[3]d", ErrIsolation, name, a.gid)
	}
	return nil
}

// give makes a folder of the host the account's own.
func (a account) give(dir string) error {
	switch {
	case !a.other:
		return nil
	case a.shares:
		return errors.Join(os.Chown(dir, -1, a.gid), os.Chmod(dir, 0o770))
	default:
		return os.Chown(dir, a.uid, a.gid)
	}
}

// mask is what the permissions of the account's new files lack: everything, but for the group where it is shared.
func (a account) mask() int {
	if a.shares {
		return 0o007
	}
	return 0o077
}

// attributes are how the process is made. It dies with the thread that makes it.
//
// A host that is not root makes it in a namespace of users, in which the account is known and nobody else is: that alone
// allows a network of its own without CAP_SYS_ADMIN, leaves it none of the host's capabilities, and allows the host to
// end what belongs to somebody else.
func (i Isolation) attributes(who account) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if who.other {
		attr.Credential = &syscall.Credential{Uid: uint32(who.uid), Gid: uint32(who.gid), Groups: []uint32{}}
	}
	if !i.Network {
		attr.Cloneflags |= syscall.CLONE_NEWNET
	}
	root := os.Geteuid() == 0
	if root && (i.Network || capable(capSysAdmin)) || !root && !who.other && i.Network && capabilities() == 0 {
		return attr
	}
	attr.Cloneflags |= syscall.CLONE_NEWUSER
	attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: who.uid, HostID: who.uid, Size: 1}}
	attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: who.gid, HostID: who.gid, Size: 1}}
	attr.GidMappingsEnableSetgroups = who.other // to have none of the host's
	return attr
}

// capable says whether this process has these capabilities of Linux in effect.
func capable(bits ...uint) bool {
	var want uint64
	for _, bit := range bits {
		want |= 1 << bit
	}
	return capabilities()&want == want
}

// capabilities are those in effect. Unknown is none.
func capabilities() uint64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "CapEff:"); ok {
			set, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
			if err != nil {
				return 0
			}
			return set
		}
	}
	return 0
}

// confine prepares the calling thread, which must be locked and never used again, to make a process for an account that
// gains nothing by what is set-user-ID, and whose files have the right permissions whatever the host's mask is.
func confine(who account) error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("%w: no new privileges: %w", ErrIsolation, err)
	}
	if err := unix.Unshare(unix.CLONE_FS); err != nil { // a mask of this thread's own
		return fmt.Errorf("%w: a file mask of its own: %w", ErrIsolation, err)
	}
	unix.Umask(who.mask())
	return nil
}

// startError explains why a process could not be made in a folder.
func startError(path, dir string, attr *syscall.SysProcAttr, err error) error {
	namespace := attr.Cloneflags&syscall.CLONE_NEWUSER != 0
	switch {
	case namespace && (errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC)):
		return fmt.Errorf("%w: the system forbids this process a namespace of users: %w; allow it (under systemd, RestrictNamespaces=user net "+
			"as in deploy/systemd/plugins.conf; sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone or "+
			"kernel.apparmor_restrict_unprivileged_userns), or run the plug-in as the daemon's own user with network = true", ErrIsolation, err)
	case errors.Is(err, syscall.EPERM):
		return fmt.Errorf("%w: the system forbids another user or a network of its own: %w; write network = true", ErrIsolation, err)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%w: its user cannot run %s in %s: %w; chmod a+rx the file, and a+x the folders above both", ErrIsolation, path, dir, err)
	case errors.Is(err, syscall.ENOEXEC):
		return fmt.Errorf("%w: %s is not a program that this machine can run", ErrFile, path)
	case errors.Is(err, syscall.ENOENT): // the file itself was there a moment ago
		return fmt.Errorf("%w: what %s needs to run is not here: the interpreter that its first line names, or its loader", ErrFile, path)
	default:
		return fmt.Errorf("%w: %w", ErrHandshake, err)
	}
}
