package postfix

import (
	"os"
	"strings"
)

// lineOf is the last line of main.cf that sets a parameter, 1 when none does.
func lineOf(file, parameter string) int {
	found := 1
	for i, line := range lines(file) {
		if name, _, ok := strings.Cut(line, "="); ok && strings.TrimSpace(name) == parameter {
			found = i + 1
		}
	}
	return found
}

// lineOfService is the line of master.cf that sets a parameter for a service, name/type, or that of the service, or 1.
func lineOfService(file, service, parameter string) int {
	found, inside := 1, false
	for n, line := range lines(file) {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if line[0] != ' ' && line[0] != '\t' {
			if inside = len(words) > 1 && words[0]+"/"+words[1] == service; inside {
				found = n + 1
			}
		}
		if inside && strings.Contains(line, parameter) {
			return n + 1
		}
	}
	return found
}

// lines are those of a file that postconf has read; without them line 1 is as good as another.
func lines(file string) []string {
	raw, _ := os.ReadFile(file)
	return strings.Split(string(raw), "\n")
}
