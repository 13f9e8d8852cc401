package lab

import (
	"fmt"
	"strings"
)

// listMembers are as many as a list of a town has.
const listMembers = 200

// aliases is the alias map of a certified host.
func (h *Host) aliases() string {
	var b strings.Builder
	line := func(alias string, to ...string) { fmt.Fprintf(&b, "%s\t%s\n", alias, strings.Join(to, ", ")) }
	line(h.Alias, h.AliasOf...)
	var members []string
	for i := range listMembers {
		member := fmt.Sprintf("member%d@%s", i, h.Domain)
		members = append(members, member)
		line(member, h.Users[i%len(h.Users)].Address)
	}
	line(h.List, members...)
	line(h.FullAlias, h.Users[0].Address, h.FullUser.Address)
	line(h.OutsideAlias, h.Users[0].Address, "gino@gamma.example")
	return b.String()
}

// patterns are domains as regular expressions.
func patterns(domains []string) []string {
	out := make([]string, len(domains))
	for i, d := range domains {
		out[i] = strings.ReplaceAll(d, ".", "[.]")
	}
	return out
}
