package examine

import (
	"errors"
	"fmt"
	"time"

	"github.com/ceralacca/ceralacca/internal/directory"
	"github.com/ceralacca/ceralacca/pec"
)

// directories are where the directory of an instant is found: one for all, kept ones, or none.
type directories struct {
	one      *directory.Snapshot
	versions []directory.Version
	opened   map[string]*providers // by path
}

// providers is the directory that a message is judged by, and which it is: "" when that was the caller's choice.
type providers struct {
	*directory.Snapshot
	version string
}

// judge judges one message by one directory; providers are nil without one.
type judge struct {
	*Examiner
	providers *providers
}

func newDirectories(o Options) (directories, error) {
	d := directories{opened: map[string]*providers{}}
	var err error
	switch {
	case o.Directory != "" && o.History != "":
		return d, errors.New("one directory or kept ones, not both")
	case o.Directory != "":
		d.one, _, err = directory.OpenFile(o.Directory)
	case o.History != "":
		if d.versions, err = directory.Versions(o.History); err == nil && len(d.versions) == 0 {
			err = fmt.Errorf("%s: no version of the directory is kept there", o.History)
		}
	}
	return d, err
}

func (d *directories) asked() bool { return d.one != nil || len(d.versions) > 0 }

// at is the directory in force at an instant; nil when there is none to ask, or no instant to ask about. That there is none, or that it is not what it was, is an error: nobody can say
// then what the directory of that day had.
func (d *directories) at(instant time.Time) (*providers, error) {
	if d.one != nil {
		return &providers{Snapshot: d.one}, nil
	}
	if len(d.versions) == 0 {
		return nil, nil
	}
	if instant.IsZero() {
		return nil, nil
	}
	day := func(t time.Time) string { return pec.ItalianTime(t).Format(time.RFC3339) }
	v, ok := directory.InForce(d.versions, instant)
	if !ok {
		return nil, fmt.Errorf("no directory is kept that was in force at %s: the first one was taken at %s", day(instant), day(d.versions[0].Instant))
	}
	if p := d.opened[v.Path]; p != nil {
		return p, nil
	}
	s, err := v.Open()
	if err != nil {
		return nil, err
	}
	p := &providers{s, fmt.Sprintf("the version in force then, taken at %s, SHA-256 %x", day(v.Instant), v.Digest)}
	d.opened[v.Path] = p
	return p, nil
}
