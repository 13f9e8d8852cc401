// Package sincro writes and reads the index of a package in the structure of UNI 11386:2020 (SInCRO), the PIndex. It knows
// only what we write of it: SelfDescription, PVolume, one FileGroup, Process. What it writes is valid by the schema of the
// standard, which is not ours to hand out; the tests hold it against testdata/pindex.rng, which says the same of these parts.
package sincro

import (
	"encoding/xml"
	"fmt"
	"path"
	"regexp"
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
	// PreserverID is that of the preserver, such as VATIT-01234567890, or empty; see [GoodID].
	PreserverID string
	// Document is what entitles those who are named, such as the manual of preservation.
	Document string
	Created  time.Time
	Files    []File
}

// File is one document.
type File struct {
	ID, Path, MediaType, SHA256, Event string
}

// The attributes of the standard are qualified, as its elements are.
type pindex struct {
	XMLName  xml.Name `xml:"http://www.uni.com/U3011/sincro-v2/ PIndex"`
	Language string   `xml:"http://www.uni.com/U3011/sincro-v2/ language,attr"`
	Version  string   `xml:"http://www.uni.com/U3011/sincro-v2/ sincroVersion,attr"`
	URI      string   `xml:"http://www.uni.com/U3011/sincro-v2/ uri,attr"`

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
	Scheme string `xml:"http://www.uni.com/U3011/sincro-v2/ scheme,attr"`
	Value  string `xml:",chardata"`
}

type file struct {
	Encoding  string `xml:"http://www.uni.com/U3011/sincro-v2/ encoding,attr"`
	Extension string `xml:"http://www.uni.com/U3011/sincro-v2/ extension,attr"`
	Format    string `xml:"http://www.uni.com/U3011/sincro-v2/ format,attr"`
	ID        id
	Path      string
	Hash      struct {
		Canonical bool   `xml:"http://www.uni.com/U3011/sincro-v2/ canonicalXML,attr"`
		Function  string `xml:"http://www.uni.com/U3011/sincro-v2/ hashFunction,attr"`
		Value     string `xml:",chardata"`
	}
	Relation relation
}

type relation struct{ Type, Value string }

type agent struct {
	Type             string                      `xml:"http://www.uni.com/U3011/sincro-v2/ agentType,attr"`
	HolderRole       string                      `xml:"http://www.uni.com/U3011/sincro-v2/ holderRole,attr,omitempty"`
	SignerRole       string                      `xml:"http://www.uni.com/U3011/sincro-v2/ signerRole,attr,omitempty"`
	AgentID          string                      `xml:",omitempty"`
	Name             struct{ FormalName string } `xml:"AgentName"`
	RelevantDocument string
}

type process struct {
	Submitter, Holder, AuthorizedSigner agent
	TimeReference                       struct {
		TimeInfo struct {
			Attached bool   `xml:"http://www.uni.com/U3011/sincro-v2/ attachedTimeStamp,attr"`
			Value    string `xml:",chardata"`
		}
	}
	LawsAndRegulations string
}

const (
	hexadecimal = "SHA-256"
	event       = "evento" // of which a document is the trace
	law         = "Linee guida AgID sulla formazione, gestione e conservazione dei documenti informatici"
)

// goodID is what the standard allows, after ETSI EN 319 412-1: the kind, the country, and the number.
var goodID = regexp.MustCompile(`^(PAS|IDC|PNO|TIN|VAT|NTR|[A-Za-z0-9]{2}:)[A-Z]{2}-[a-zA-Z0-9]+$`)

// GoodID says whether the standard allows an identifier of a person.
func GoodID(id string) bool { return goodID.MatchString(id) }

// Marshal writes an index; the same index gives the same bytes.
func (x Index) Marshal() ([]byte, error) {
	p := pindex{Language: "it", Version: "2.0", URI: Namespace + "PIndex.xsd"}
	p.Self.ID = id{Scheme: "local", Value: x.ID}
	p.Self.Application.Name, p.Self.Application.Version, p.Self.Application.Producer = "ceralacca conserve", x.Version, "ceralacca"
	p.Volume.ID, p.Volume.Label = id{Scheme: "local", Value: x.Volume}, x.Label
	p.Group.ID, p.Group.Label = id{Scheme: "local", Value: x.Volume + "/documenti"}, "Messaggi e ricevute"
	for _, f := range x.Files {
		one := file{Encoding: "binary", Extension: strings.TrimPrefix(path.Ext(f.Path), "."), Format: f.MediaType,
			ID: id{Scheme: "local", Value: f.ID}, Path: f.Path, Relation: relation{event, f.Event}}
		one.Hash.Function, one.Hash.Value = hexadecimal, f.SHA256
		p.Group.Files = append(p.Group.Files, one)
	}
	p.Process.Submitter = x.person(x.Preserver, x.PreserverID)
	p.Process.Holder = x.person(x.Holder, "")
	p.Process.Holder.HolderRole = "soggetto produttore"
	p.Process.AuthorizedSigner = x.person(x.Preserver, x.PreserverID)
	p.Process.AuthorizedSigner.SignerRole = "conservatore"
	p.Process.TimeReference.TimeInfo.Value = x.Created.Format(time.RFC3339)
	p.Process.LawsAndRegulations = law
	text, err := xml.MarshalIndent(p, "", " ")
	return append([]byte(xml.Header), append(text, '\n')...), err
}

func (x Index) person(name, id string) agent {
	a := agent{Type: "legal person", AgentID: id, RelevantDocument: x.Document}
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
		Holder: p.Process.Holder.Name.FormalName, Preserver: p.Process.Submitter.Name.FormalName, PreserverID: p.Process.Submitter.AgentID,
		Document: p.Process.Submitter.RelevantDocument}
	var err error
	if x.Created, err = time.Parse(time.RFC3339, p.Process.TimeReference.TimeInfo.Value); err != nil {
		return Index{}, fmt.Errorf("the index: %w", err)
	}
	for _, f := range p.Group.Files {
		if f.Hash.Function != hexadecimal {
			return Index{}, fmt.Errorf("the index: %s has a %q, not a SHA-256", f.Path, f.Hash.Function)
		}
		x.Files = append(x.Files, File{ID: f.ID.Value, Path: f.Path, MediaType: f.Format, SHA256: strings.ToLower(f.Hash.Value), Event: f.Relation.Value})
	}
	return x, nil
}
