// Package sincro writes and reads the index of a package in the structure of UNI 11386:2020 (SInCRO), the PIndex. It knows
// only what we write of it: SelfDescription, PVolume, one FileGroup, Process. The schema of the standard is sold by UNI and
// was not at hand: what is written follows published uses of it, and is not validated against it.
package sincro

import (
	"encoding/xml"
	"fmt"
	"strings"
	"time"
)

// Namespace is that of the standard.
const Namespace = "http://www.uni.com/U3011/sincro-v2/"

// Index is what a package says of itself.
type Index struct {
	ID, Volume string // of the index and of the package
	Label      string
	Version    string // of the program
	Holder     string // whose documents they are
	Preserver  string // who signs
	Created    time.Time
	Files      []File
}

// File is one document.
type File struct {
	ID, Path, MediaType, SHA256, Event string
}

type pindex struct {
	XMLName  xml.Name `xml:"http://www.uni.com/U3011/sincro-v2/ PIndex"`
	Language string   `xml:"language,attr"`
	Version  string   `xml:"sincroVersion,attr"`
	URI      string   `xml:"uri,attr"`

	Self struct {
		ID          id
		Application struct{ Name, Version, Producer string } `xml:"CreatingApplication"`
	} `xml:"SelfDescription"`
	Volume struct {
		ID    id
		Label string
	} `xml:"PVolume"`
	Group struct {
		ID    id
		Label string
		Files []file `xml:"File"`
	} `xml:"FileGroup"`
	Process process
}

type id struct {
	Scheme string `xml:"scheme,attr,omitempty"`
	Value  string `xml:",chardata"`
}

type file struct {
	Encoding string `xml:"encoding,attr"`
	Format   string `xml:"format,attr"`
	ID       id
	Path     string
	Hash     struct {
		Canonical bool   `xml:"canonicalXML,attr"`
		Function  string `xml:"hashFunction,attr"`
		Value     string `xml:",chardata"`
	}
	Description string `xml:",omitempty"`
}

type agent struct {
	Type       string `xml:"agentType,attr"`
	HolderRole string `xml:"holderRole,attr,omitempty"`
	SignerRole string `xml:"signerRole,attr,omitempty"`
	AgentID    string
	Name       struct{ FormalName string } `xml:"AgentName"`
}

type process struct {
	Submitter, Holder, AuthorizedSigner agent
	TimeReference                       struct {
		TimeInfo struct {
			Attached bool   `xml:"attachedTimeStamp,attr"`
			Value    string `xml:",chardata"`
		}
	}
	LawsAndRegulations string
}

const (
	hexadecimal = "SHA-256"
	law         = "Linee guida AgID sulla formazione, gestione e conservazione dei documenti informatici"
)

// Marshal writes an index; the same index gives the same bytes.
func (x Index) Marshal() ([]byte, error) {
	p := pindex{Language: "it", Version: "2.0", URI: Namespace + "PIndex.xsd"}
	p.Self.ID = id{Scheme: "local", Value: x.ID}
	p.Self.Application.Name, p.Self.Application.Version, p.Self.Application.Producer = "ceralacca conserve", x.Version, "ceralacca"
	p.Volume.ID, p.Volume.Label = id{Scheme: "local", Value: x.Volume}, x.Label
	p.Group.ID, p.Group.Label = id{Scheme: "local", Value: x.Volume + "/documenti"}, "Messaggi e ricevute"
	for _, f := range x.Files {
		one := file{Encoding: "binary", Format: f.MediaType, ID: id{Scheme: "local", Value: f.ID}, Path: f.Path, Description: f.Event}
		one.Hash.Function, one.Hash.Value = hexadecimal, f.SHA256
		p.Group.Files = append(p.Group.Files, one)
	}
	p.Process.Submitter = person(x.Preserver)
	p.Process.Holder = person(x.Holder)
	p.Process.Holder.HolderRole = "soggetto produttore"
	p.Process.AuthorizedSigner = person(x.Preserver)
	p.Process.AuthorizedSigner.SignerRole = "conservatore"
	p.Process.TimeReference.TimeInfo.Value = x.Created.Format(time.RFC3339)
	p.Process.LawsAndRegulations = law
	text, err := xml.MarshalIndent(p, "", " ")
	return append([]byte(xml.Header), append(text, '\n')...), err
}

func person(name string) agent {
	a := agent{Type: "legal person", AgentID: name}
	a.Name.FormalName = name
	return a
}

// Parse reads an index that we wrote.
func Parse(text []byte) (Index, error) {
	var p pindex
	if err := xml.Unmarshal(text, &p); err != nil {
		return Index{}, fmt.Errorf("the index: %w", err)
	}
	x := Index{ID: p.Self.ID.Value, Volume: p.Volume.ID.Value, Label: p.Volume.Label, Version: p.Self.Application.Version,
		Holder: p.Process.Holder.AgentID, Preserver: p.Process.Submitter.AgentID}
	var err error
	if x.Created, err = time.Parse(time.RFC3339, p.Process.TimeReference.TimeInfo.Value); err != nil {
		return Index{}, fmt.Errorf("the index: %w", err)
	}
	for _, f := range p.Group.Files {
		if f.Hash.Function != hexadecimal {
			return Index{}, fmt.Errorf("the index: %s has a %q, not a SHA-256", f.Path, f.Hash.Function)
		}
		x.Files = append(x.Files, File{ID: f.ID.Value, Path: f.Path, MediaType: f.Format, SHA256: strings.ToLower(f.Hash.Value), Event: f.Description})
	}
	return x, nil
}
