package record

import (
	"fmt"
	"strings"
)

// Format says what a record holds beside the key mssp.
type Format uint8

// The formats of the option "format".
const (
	FormatJSON    Format = iota // the alert's own keys
	FormatRaw                   // the alert's own bytes, as a text under the key "message"
	FormatOCSF                  // the keys of an OCSF event
	FormatCEF                   // one CEF line under the key "cef"
	FormatJSONCEF               // each of the first three with the line
	FormatRawCEF
	FormatOCSFCEF
	numFormats
)

// body is what a record holds of the alert, beside a CEF line.
type body uint8

// The bodies.
const (
	noBody  body = iota
	ownKeys      // the alert's own keys
	message      // the key message, with the alert's own bytes
	finding      // the keys of an OCSF event
)

// content is what a format puts into the record of an alert.
type content struct {
	name string // in the configuration
	help string // what a record holds; empty for a body with the line, which says it itself
	body body
	cef  bool // the CEF line
}

// contents is the registry of the formats, the default first. A format without a row here
// is an error for NewEncoder.
var contents = [numFormats]content{
	FormatJSON:    {name: "json", help: "the alert's own object", body: ownKeys},
	FormatRaw:     {name: "raw", help: "its own bytes, as a text", body: message},
	FormatOCSF:    {name: "ocsf", help: "an OCSF event", body: finding},
	FormatCEF:     {name: "cef", help: "a CEF line", cef: true},
	FormatJSONCEF: {name: "json+cef", body: ownKeys, cef: true},
	FormatRawCEF:  {name: "raw+cef", body: message, cef: true},
	FormatOCSFCEF: {name: "ocsf+cef", body: finding, cef: true},
}

// FormatNames returns the values of the option "format", the default first.
func FormatNames() []string {
	names := make([]string, len(contents))
	for i, s := range contents {
		names[i] = s.name
	}

	return names
}

// FormatHelp returns the values of the option "format" with what each means.
func FormatHelp() string {
	var alone, both []string

	for _, c := range contents {
		if c.cef && c.body != noBody {
			both = append(both, "`"+c.name+"`")
			continue
		}

		alone = append(alone, fmt.Sprintf("%s (`%s`)", c.help, c.name))
	}

	return strings.Join(alone, ", ") + "; or one of them and the CEF line: " + strings.Join(both, ", ")
}

// content returns the row of the registry. It fails if there is none.
func (f Format) content() (content, error) {
	if int(f) >= len(contents) || contents[f].name == "" {
		return content{}, fmt.Errorf("there is no format %d", uint8(f))
	}

	return contents[f], nil
}

// NeedsHistory reports whether a record says if its alert had earlier versions.
func (f Format) NeedsHistory() bool {
	s, err := f.content()
	return err == nil && s.body == finding
}

// String returns the name that the configuration uses.
func (f Format) String() string {
	s, err := f.content()
	if err != nil {
		return fmt.Sprintf("Format(%d)", uint8(f))
	}

	return s.name
}

// ParseFormat reads the name of a format, in any case.
func ParseFormat(s string) (Format, error) {
	for f := range contents {
		if strings.EqualFold(s, contents[f].name) {
			return Format(f), nil
		}
	}

	return 0, fmt.Errorf("format %q is not one of %s", s, strings.Join(FormatNames(), ", "))
}
