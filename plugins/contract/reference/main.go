// Command reference makes docs/plugins-reference.md of the comments in the .proto files: it reads the set of descriptors that
// protoc writes, and prints the page. It knows nothing of the contract that the files do not say, and refuses what they say
// nothing about.
package main

import (
	"fmt"
	"os"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
)

const opening = `# Plug-ins: reference

<!-- Made by plugins/contract/generate.sh of the comments in plugins/contract. Edit those. -->

Every call of the contract between ceralacca and its plug-ins, from the comments of the .proto files in [plugins/contract](../plugins/contract). How to
write, check and install a plug-in is in [plugins.md](plugins.md).
`

func main() {
	page, err := render(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "reference:", err)
		os.Exit(1)
	}
	fmt.Print(page)
}

// render reads the descriptors in a file and returns the page.
func render(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(data, &set); err != nil {
		return "", err
	}
	p := &page{}
	p.WriteString(opening)
	for _, file := range set.File {
		p.file(file)
	}
	if len(p.silent) > 0 {
		return "", fmt.Errorf("without a comment: %s", strings.Join(p.silent, ", "))
	}
	return p.String(), nil
}

// page is what is printed, and what has no comment.
type page struct {
	strings.Builder
	comments map[string]string // by the path of what they are about
	silent   []string
}

// Numbers of fields in descriptor.proto, of which paths are made.
const (
	messages, enums, services = 4, 5, 6
	ofMessage, syntax         = 2, 12
)

func key(path ...int) string { return fmt.Sprint(path) }

// comment returns what is said of something, which is on the list of what nothing is said of otherwise.
func (p *page) comment(name string, path ...int) string {
	text := p.comments[key(path...)]
	if text == "" {
		p.silent = append(p.silent, name)
	}
	return text
}

func (p *page) file(f *descriptorpb.FileDescriptorProto) {
	p.comments = map[string]string{}
	for _, l := range f.SourceCodeInfo.GetLocation() {
		path := make([]int, len(l.Path))
		for i, n := range l.Path {
			path[i] = int(n)
		}
		p.comments[key(path...)] = strings.TrimSpace(strings.ReplaceAll(l.GetLeadingComments(), "\n ", "\n"))
	}
	name := strings.TrimPrefix(f.GetName(), "contract/")
	fmt.Fprintf(p, "\n## %s\n\n%s\n", name, p.comment(name, syntax))
	for i, s := range f.Service {
		p.service(i, s)
	}
	for i, m := range f.MessageType {
		p.message(i, m)
	}
	for i, e := range f.EnumType {
		p.enum(i, e)
	}
}

func (p *page) service(i int, s *descriptorpb.ServiceDescriptorProto) {
	fmt.Fprintf(p, "\n### service %s\n", s.GetName())
	if text := p.comments[key(services, i)]; text != "" {
		fmt.Fprintf(p, "\n%s\n", text)
	}
	for j, m := range s.Method {
		in, out := last(m.GetInputType()), last(m.GetOutputType())
		if m.GetClientStreaming() {
			in = "stream " + in
		}
		if m.GetServerStreaming() {
			out = "stream " + out
		}
		fmt.Fprintf(p, "\n**`%s(%s) returns (%s)`**\n\n%s\n", m.GetName(), in, out, p.comment(m.GetName(), services, i, ofMessage, j))
	}
}

func (p *page) message(i int, m *descriptorpb.DescriptorProto) {
	fmt.Fprintf(p, "\n### %s\n", m.GetName())
	if text := p.comments[key(messages, i)]; text != "" {
		fmt.Fprintf(p, "\n%s\n", text)
	}
	if len(m.Field) == 0 {
		p.WriteString("\nIt has no fields.\n")
		return
	}
	p.WriteString("\n| field | type | number | meaning |\n|---|---|---|---|\n")
	for j, f := range m.Field {
		what := p.comment(m.GetName()+"."+f.GetName(), messages, i, ofMessage, j)
		if f.OneofIndex != nil {
			what = "One of `" + m.OneofDecl[f.GetOneofIndex()].GetName() + "`. " + what
		}
		fmt.Fprintf(p, "| `%s` | %s | %d | %s |\n", f.GetName(), kind(f), f.GetNumber(), cell(what))
	}
}

func (p *page) enum(i int, e *descriptorpb.EnumDescriptorProto) {
	fmt.Fprintf(p, "\n### enum %s\n", e.GetName())
	if text := p.comments[key(enums, i)]; text != "" {
		fmt.Fprintf(p, "\n%s\n", text)
	}
	p.WriteString("\n| value | number | meaning |\n|---|---|---|\n")
	for j, v := range e.Value {
		fmt.Fprintf(p, "| `%s` | %d | %s |\n", v.GetName(), v.GetNumber(), cell(p.comment(v.GetName(), enums, i, ofMessage, j)))
	}
}

// kind is the type of a field as a .proto file writes it.
func kind(f *descriptorpb.FieldDescriptorProto) string {
	name := strings.ToLower(strings.TrimPrefix(f.GetType().String(), "TYPE_"))
	if f.GetTypeName() != "" {
		name = last(f.GetTypeName())
	}
	if f.GetLabel() == descriptorpb.FieldDescriptorProto_LABEL_REPEATED {
		name = "repeated " + name
	}
	return name
}

func last(name string) string { return name[strings.LastIndex(name, ".")+1:] }

// cell makes a text fit for a table.
func cell(text string) string { return strings.NewReplacer("\n", " ", "|", `\|`).Replace(text) }
