package record

import (
	"fmt"
	"slices"
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

var formatNames = [...]string{FormatJSON: "json", FormatCEF: "cef", FormatJSONCEF: "json+cef"}

// FormatNames returns the values of the option "format", the default first.
func FormatNames() []string { return slices.Clone(formatNames[:]) }

// String is the name the configuration uses.
func (f Format) String() string {
	if int(f) < len(formatNames) {
		return formatNames[f]
	}

	return fmt.Sprintf("Format(%d)", uint8(f))
}

// ParseFormat reads the name of a format; capital letters are taken as small ones.
func ParseFormat(s string) (Format, error) {
	for f, name := range formatNames {
		if strings.EqualFold(s, name) {
			return Format(f), nil
		}
	}

	return 0, fmt.Errorf("format %q is none of json, cef, json+cef", s)
}

func (f Format) hasCEF() bool { return f == FormatCEF || f == FormatJSONCEF }
