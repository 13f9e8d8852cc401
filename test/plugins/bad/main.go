// Command bad is twenty plug-ins, each with one fault that `ceralacca plugin check` must find at its own line, and two that
// are in order in an unusual way: elder speaks version 1 only, filer takes content as a file. Which of them it is, the name
// of the executable says. None is good for anything.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/ceralacca/ceralacca/plugins"
)

func main() {
	fault := filepath.Base(os.Args[0])
	describing := slices.Equal(os.Args[1:], []string{plugins.DescribeArgument})
	switch fault {
	case "talkative":
		fmt.Println("This is talkative 1.0") // before the JSON
	case "mute":
		if !describing {
			os.Exit(3) // before the handshake
		}
	case "noisy":
		if !describing {
			fmt.Println("starting") // to standard output
		}
	case "hydra":
		if !describing && os.Getenv(offspring) == "" {
			serveByOffspring()
			return
		}
		go dieAlone()
	case "hasty":
		serveHasty(describing)
		return
	}
	plugins.Serve(plugin(fault, describing))
	switch fault {
	case "immortal":
		select {}
	case "litter":
		_ = os.Remove(lockFile()) // when it ends as it should
	}
}

func plugin(fault string, describing bool) plugins.Plugin {
	antivirus := plugins.Antivirus{About: about(fault), Open: opener(fault), Files: fault == "filer"}
	switch fault {
	case "forgetful", "sulky":
		return plugins.Notification{About: about(fault), Open: carrier(fault)}
	case "amnesiac", "gullible", "doubler":
		return plugins.Conservation{About: about(fault), Open: store(fault)}
	case "forger", "generous":
		return plugins.Key{About: about(fault), Open: smith(fault)}
	case "demanding":
		antivirus.About = demands(fault)
	case "boaster":
		if !describing {
			return only{antivirus, 2}
		}
	case "elder":
		return only{antivirus, 1}
	}
	return antivirus
}

func about(fault string) plugins.About { return plugins.About{Name: fault, Version: "1.0.0"} }

// demands cannot do without a key.
func demands(fault string) plugins.About {
	a := about(fault)
	a.Schema = `{"type": "object", "required": ["word"], "properties": {"word": {"type": "string"}}}`
	return a
}

// only speaks one version of the contract.
type only struct {
	plugins.Antivirus
	version int
}

// Describe implements plugins.Plugin.
func (o only) Describe() plugins.Description {
	d := o.Antivirus.Describe()
	d.Protocols = []int{o.version}
	return d
}
