package record

import (
	"fmt"
	"strings"

	"fluent-bit-defender/internal/alert"
)

// Format says what a record holds beside the key mssp: a body, a CEF line, or both.
type Format uint8

// The formats of the option "format". Each that has a body is there a second time, with
// a CEF line.
const (
	FormatJSON Format = iota // the alert's own keys
	FormatRaw                // the alert's own bytes, as a text under the key "message"
	FormatOCSF               // the keys of an OCSF event
	FormatCEF                // one CEF line under the key "cef", and no body

	numFormats = 2*FormatCEF + 1
	withLine   = FormatCEF + 1 // what is added to a body's format for the line
)

// The formats with a body and a line.
const (
	FormatJSONCEF = FormatJSON + withLine
	FormatRawCEF  = FormatRaw + withLine
	FormatOCSFCEF = FormatOCSF + withLine
)

// A body is what a record holds of the alert beside a CEF line.
type body struct {
	name string // in the configuration
	help string // what a record holds
	// field is the only key of the body, which holds the whole alert as a text; empty for
	// a body of many keys.
	field string
	// history says that a record says whether its alert had earlier versions.
	history bool
	encoder func(Options) (bodyEncoder, error)
}

// A bodyEncoder appends a body.
type bodyEncoder interface {
	// Append appends the keys of the body for a row to dst, and returns how many there
	// are. If the row cannot be kept as it is, it fails with one of this package's
	// sentinels, and the bytes behind dst are undefined.
	Append(dst []byte, v alert.Version, raw []byte) ([]byte, int, error)
}

// bodies is the registry of the formats: a row for each that is not a body with the line.
var bodies = [withLine]body{
	FormatJSON: {
		name:    "json",
		help:    "the alert's own object",
		encoder: newOwnKeys,
	},
	FormatRaw: {
		name:    "raw",
		help:    "its own bytes, as a text",
		field:   "message",
		encoder: newMessage,
	},
	FormatOCSF: {
		name:    "ocsf",
		help:    "an OCSF event",
		history: true,
		encoder: newFinding,
	},
	FormatCEF: {
		name:    "cef",
		help:    "a CEF line",
		field:   "cef",
		encoder: newNoBody,
	},
}

// row returns the row of the registry, and whether the record has a CEF line. It fails if
// there is no such format.
func (f Format) row() (row body, line bool, err error) {
	i := f
	if f >= withLine {
		i -= withLine
	}

	if f >= numFormats || bodies[i].name == "" || bodies[i].encoder == nil {
		return body{}, false, fmt.Errorf("the format %d has no row, or one without an encoder, in bodies", uint8(f))
	}

	return bodies[i], f >= FormatCEF, nil
}

// FormatNames returns the values of the option "format", the default first.
func FormatNames() []string {
	names := make([]string, numFormats)
	for f := range numFormats {
		names[f] = f.String()
	}

	return names
}

// FormatHelp returns the values of the option "format" with what each means.
func FormatHelp() string {
	var alone, both []string

	for f, b := range bodies {
		alone = append(alone, fmt.Sprintf("%s (`%s`)", b.help, b.name))

		if Format(f) < FormatCEF {
			both = append(both, fmt.Sprintf("`%s`", Format(f)+withLine))
		}
	}

	return strings.Join(alone, ", ") + "; or one of them and the CEF line: " + strings.Join(both, ", ")
}

// TextKeys returns the keys that hold a whole alert as a text, each with the format that
// has it.
func TextKeys() map[string]string {
	keys := map[string]string{}

	for _, b := range bodies {
		if b.field != "" {
			keys[b.field] = b.name
		}
	}

	return keys
}

// TextOnly reports whether a record has no keys but mssp and TextKeys.
func (f Format) TextOnly() bool {
	b, _, err := f.row()
	return err == nil && b.field != ""
}

// NeedsHistory reports whether a record says whether its alert had earlier versions.
func (f Format) NeedsHistory() bool {
	b, _, err := f.row()
	return err == nil && b.history
}

// String returns the name that the configuration uses.
func (f Format) String() string {
	b, _, err := f.row()

	switch {
	case err != nil:
		return fmt.Sprintf("Format(%d)", uint8(f))
	case f < withLine:
		return b.name
	default:
		return b.name + "+" + bodies[FormatCEF].name
	}
}

// ParseFormat reads the name of a format, in any case.
func ParseFormat(s string) (Format, error) {
	for f := range numFormats {
		if strings.EqualFold(s, f.String()) {
			return f, nil
		}
	}

	return 0, fmt.Errorf("format %q is not one of %s", s, strings.Join(FormatNames(), ", "))
}
