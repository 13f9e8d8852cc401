// Command bad is ten and more plug-ins, each with one fault that `ceralacca plugin check` must find at its own line. Which
// of them it is, the name of the executable says. None is good for anything.
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
	case "forgetful":
		plugins.Serve(plugins.Notification{About: about(fault), Open: forgetful})
	case "hasty":
		serveHasty(describing)
		return
	}
	antivirus := plugins.Antivirus{About: about(fault), Open: opener(fault)}
	if fault == "boaster" && !describing {
		plugins.Serve(onlyNew{antivirus})
	}
	plugins.Serve(antivirus)
}

func about(fault string) plugins.About { return plugins.About{Name: fault, Version: "1.0.0"} }

// onlyNew has fewer versions of the contract than it described.
type onlyNew struct{ plugins.Antivirus }

// Describe implements plugins.Plugin.
func (o onlyNew) Describe() plugins.Description {
	d := o.Antivirus.Describe()
	d.Protocols = []int{2}
	return d
}
