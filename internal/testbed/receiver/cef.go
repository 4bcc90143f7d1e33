package receiver

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// CEF is an event in the Common Event Format, unescaped.
type CEF struct {
	Version                                       string
	Vendor, Product, DeviceVersion, ClassID, Name string
	// Severity is 0 to 10, or Unknown, Low, Medium, High, Very-High.
	Severity string
	// Keys are those of the extension, in order; Values their values.
	Keys   []string
	Values map[string]string
}

// ErrCEF is wrapped by all errors of ParseCEF.
var ErrCEF = errors.New("not CEF")

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCEF, fmt.Sprintf(format, args...))
}

// ParseCEF reads a line that begins with "CEF:" as the standard lets a producer write
// it, and refuses every other.
func ParseCEF(line string) (CEF, error) {
	var c CEF
	if !utf8.ValidString(line) {
		return c, refuse("the line is not UTF-8")
	}

	if at := strings.IndexFunc(line, unicode.IsControl); at >= 0 {
		return c, refuse("control character at byte %d", at)
	}

	body, ok := strings.CutPrefix(line, "CEF:")
	if !ok {
		return c, refuse("the line begins with %.10q", line)
	}

	header, extension, err := splitHeader(body)
	if err != nil {
		return c, err
	}

	c = CEF{
		Version:       header[0],
		Vendor:        header[1],
		Product:       header[2],
		DeviceVersion: header[3],
		ClassID:       header[4],
		Name:          header[5],
		Severity:      header[6],
		Values:        map[string]string{},
	}
	if err := c.checkHeader(header); err != nil {
		return c, err
	}

	if err := c.readExtension(extension); err != nil {
		return c, err
	}

	return c, c.checkLabels()
}

// splitHeader splits off the seven fields at the front. In them only \\ and \| are
// escapes.
func splitHeader(s string) (fields [7]string, rest string, err error) {
	n, from := 0, 0

	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			if i+1 == len(s) || s[i+1] != '\\' && s[i+1] != '|' {
				return fields, "", refuse("header field %d: a backslash before neither backslash nor bar", n+1)
			}

			i++
		case '|':
			fields[n] = strings.NewReplacer(`\\`, `\`, `\|`, `|`).Replace(s[from:i])

			from = i + 1
			if n++; n == len(fields) {
				return fields, s[from:], nil
			}
		}
	}

	return fields, "", refuse("%d of 7 header fields", n)
}

func (c *CEF) checkHeader(fields [7]string) error {
	names := [...]string{"version", "vendor", "product", "device version", "class id", "name", "severity"}

	for i, most := range [...]int{1, 63, 63, 31, 1023, 512, 9} {
		switch f := fields[i]; {
		case f == "" || strings.Trim(f, " ") != f:
			return refuse("%s is empty or has spaces around it", names[i])
		case len(f) > most:
			return refuse("%s has %d bytes, %d are allowed", names[i], len(f), most)
		}
	}

	switch c.Version {
	case "0", "1":
	default:
		return refuse("version %q", c.Version)
	}

	switch c.Severity {
	case "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "Unknown", "Low", "Medium", "High", "Very-High":
		return nil
	}

	return refuse("severity %q", c.Severity)
}

// readExtension finds the equals signs that are not escaped; the word before each is a
// key, and what lies between a key and the next one is its value.
func (c *CEF) readExtension(s string) error {
	var signs []int

	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '=':
			signs = append(signs, i)
		}
	}

	if len(signs) == 0 {
		if s != "" {
			return refuse("an extension without a key: %.40q", s)
		}

		return nil
	}

	start := 0 // of the key
	for n, sign := range signs {
		key := s[start:sign]

		end, next := len(s), len(s)
		if n+1 < len(signs) {
			space := strings.LastIndexByte(s[sign:signs[n+1]], ' ')
			if space < 0 {
				return refuse("no space before the key behind %s", key)
			}

			end, next = sign+space, sign+space+1
		}

		if err := c.pair(key, s[sign+1:end]); err != nil {
			return err
		}

		start = next
	}

	return nil
}

// pair adds one key with its escaped value.
func (c *CEF) pair(key, escaped string) error {
	rule, err := ruleOf(key, c.Version)
	if err != nil {
		return err
	}

	if _, twice := c.Values[key]; twice {
		return refuse("%s is there twice", key)
	}

	value, err := unescape(escaped)
	if err != nil {
		return refuse("%s: %v", key, err)
	}

	if value == "" || strings.Trim(value, " ") != value {
		return refuse("%s is empty or has spaces around it: %.40q", key, value)
	}

	if err := rule.check(value); err != nil {
		return refuse("%s: %v", key, err)
	}

	c.Keys = append(c.Keys, key)
	c.Values[key] = value

	return nil
}

// unescape undoes \\ \= \n \r; every other backslash is an error.
func unescape(s string) (string, error) {
	var b strings.Builder

	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}

		i++
		if i == len(s) {
			return "", errors.New("a backslash at the end")
		}

		switch s[i] {
		case '\\', '=':
			b.WriteByte(s[i])
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		default:
			return "", fmt.Errorf("the escape \\%c", s[i])
		}
	}

	return b.String(), nil
}

// checkLabels checks that each custom field has a label, that each label has a field,
// and that no two fields have the same label.
func (c *CEF) checkLabels() error {
	used := map[string]string{}

	for _, key := range c.Keys {
		if field, isLabel := strings.CutSuffix(key, "Label"); isLabel {
			label := c.Values[key]
			if c.Values[field] == "" {
				return refuse("%s without %s", key, field)
			}

			if other := used[label]; other != "" {
				return refuse("%s and %s have the same label", other, key)
			}

			used[label] = key
		} else if custom.MatchString(key) && c.Values[key+"Label"] == "" {
			return refuse("%s without a label", key)
		}
	}

	return nil
}
