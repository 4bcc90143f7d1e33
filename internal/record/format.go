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
	FormatCEF                   // one CEF line under the key "cef"
	FormatJSONCEF               // both
)

// content is what a format puts into the record of an alert.
type content struct {
	name string // in the configuration
	body bool   // the alert's own keys
	cef  bool   // the CEF line
}

// contents is the registry of the formats, the default first. A format without a row here
// is an error for NewEncoder.
var contents = [...]content{
	FormatJSON:    {name: "json", body: true},
	FormatCEF:     {name: "cef", cef: true},
	FormatJSONCEF: {name: "json+cef", body: true, cef: true},
}

// FormatNames returns the values of the option "format", the default first.
func FormatNames() []string {
	names := make([]string, len(contents))
	for i, s := range contents {
		names[i] = s.name
	}

	return names
}

// content returns the row of the registry. It fails if there is none.
func (f Format) content() (content, error) {
	if int(f) >= len(contents) || contents[f].name == "" {
		return content{}, fmt.Errorf("there is no format %d", uint8(f))
	}

	return contents[f], nil
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

	return 0, fmt.Errorf("format %q is none of %s", s, strings.Join(FormatNames(), ", "))
}
