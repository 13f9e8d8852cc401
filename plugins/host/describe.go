package host

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ceralacca/ceralacca/plugins"
	"github.com/ceralacca/ceralacca/plugins/contract"
)

// Bounds of a description.
const (
	describeTime = 10 * time.Second
	maxDescribe  = 1 << 20 // bytes
)

// Describe runs the plug-in with the one argument "describe", isolated like the plug-in itself, and reads what it prints.
// The error is [ErrDescription], or what kept it from running.
func (p Program) Describe(ctx context.Context) (plugins.Description, error) {
	var d plugins.Description
	if err := p.Verify(); err != nil {
		return d, err
	}
	out, said := &cappedBuffer{limit: maxDescribe}, &cappedBuffer{limit: maxLine}
	if err := p.run(ctx, out, said); err != nil {
		if said.Len() == 0 {
			return d, err
		}
		return d, fmt.Errorf("%w; it says: %q", err, said.String())
	}
	if out.over {
		return d, fmt.Errorf("%w: it describes itself in more than %d bytes", ErrDescription, maxDescribe)
	}
	d, err := understandDescription(out.Bytes())
	if err != nil {
		return d, fmt.Errorf("%w: what %s describe prints is not the JSON object of a description: %w", ErrDescription, p.Path, err)
	}
	return d, fits(d)
}

// understandDescription reads one JSON object and nothing else.
func understandDescription(text []byte) (d plugins.Description, err error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	if err = decoder.Decode(&d); err != nil {
		return plugins.Description{}, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return plugins.Description{}, errors.New("something follows it")
	}
	return d, nil
}

// run runs describe to its end.
func (p Program) run(ctx context.Context, out, said *cappedBuffer) error {
	ctx, cancel := context.WithTimeout(ctx, describeTime)
	defer cancel()
	c, err := spawn(p, surroundings{dir: "/", args: []string{plugins.DescribeArgument}, out: out, errors: said})
	if err != nil {
		return err
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		_ = c.kill() // it is waited for
		<-c.done
		return fmt.Errorf("%w: %s describe does not end within %s", ErrDescription, p.Path, describeTime)
	}
	if c.err != nil {
		return fmt.Errorf("%w: %s describe fails: %w", ErrDescription, p.Path, c.err)
	}
	return nil
}

var nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// fits says what is wrong in a description, whatever it is wanted for.
func fits(d plugins.Description) error {
	var wrong []string
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if !nameForm.MatchString(d.Name) {
		say("name is %q, not lower case letters, digits and hyphens", d.Name)
	}
	if _, known := Table()[d.Kind]; !known {
		say("kind is %q, not antivirus, conservation, notification or key", d.Kind)
	}
	if d.Version == "" || len(d.Version) > 100 {
		say("version is %q", d.Version)
	}
	if common := speaks(d); len(common) == 0 {
		say("protocols are %v, and of the contract for this kind this host speaks the versions %v; take a release of the "+
			"plug-in, or of ceralacca, that has one in common", d.Protocols, versionsOf(d.Kind))
	}
	unmet(d, say)
	if err := checkSchema(d.Schema); err != nil {
		say("schema: %v", err)
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%w: %s", ErrDescription, strings.Join(wrong, "; "))
	}
	return nil
}

// unmet says which needs a host does not meet, and which are missing: what leaves the host was asked for by name.
func unmet(d plugins.Description, say func(format string, args ...any)) {
	for _, need := range d.Needs {
		switch {
		case !slices.Contains([]plugins.Need{plugins.NeedMetadata, plugins.NeedHeaders, plugins.NeedContent}, need):
			say("needs has %q, not metadata, headers or content", need)
		case d.Kind == plugins.KindNotification && need == plugins.NeedContent, d.Kind == plugins.KindKey:
			say("needs has %q, which no plug-in of kind %s is given", need, d.Kind)
		}
	}
	given := d.Kind == plugins.KindAntivirus || d.Kind == plugins.KindConservation
	if given && slices.Contains(d.Protocols, contract.Current) && !slices.Contains(d.Needs, plugins.NeedContent) {
		say("needs has no content, which every plug-in of kind %s is given", d.Kind)
	}
}

// versionsOf are the versions of the contract that know a kind.
func versionsOf(kind plugins.Kind) []int {
	if kind == plugins.KindAntivirus {
		return []int{contract.Previous, contract.Current}
	}
	return []int{contract.Current}
}

// speaks are the versions that host and plug-in have in common.
func speaks(d plugins.Description) []int {
	var common []int
	for _, version := range versionsOf(d.Kind) {
		if slices.Contains(d.Protocols, version) {
			common = append(common, version)
		}
	}
	return common
}
