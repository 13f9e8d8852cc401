package lab

import (
	"fmt"
	"os/user"
	"strconv"
)

// firstUID is where the search for user ids without an account begins.
const firstUID = 64101

// accounts are the numeric ids under which the lab's processes run. No account is
// made: the daemons' user and the owner of the mailboxes have no name.
type accounts struct {
	daemon  int // runs milter and agent
	mail    int // owns the mailboxes; also its group
	scanner int // runs clamd
	group   int // Postfix's: it shares the sockets
	postfix int
}

func findAccounts() (*accounts, error) {
	p, err := user.Lookup("postfix")
	if err != nil {
		return nil, fmt.Errorf("no Postfix is installed, run make deps: %w", err)
	}
	a := &accounts{}
	if a.postfix, err = strconv.Atoi(p.Uid); err != nil {
		return nil, err
	}
	if a.group, err = strconv.Atoi(p.Gid); err != nil {
		return nil, err
	}
	a.daemon = unused(firstUID)
	a.mail = unused(a.daemon + 1)
	a.scanner = unused(a.mail + 1)
	return a, nil
}

// unused is the first user id from n on that no account has.
func unused(n int) int {
	for {
		if _, err := user.LookupId(strconv.Itoa(n)); err != nil {
			return n
		}
		n++
	}
}
