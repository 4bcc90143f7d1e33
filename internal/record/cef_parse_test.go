package record

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// A strict reader of CEF, written from the standard and not from the encoder: whatever
// it refuses, a SIEM may misread.

type parsedCEF struct {
	header [7]string // version, vendor, product, device version, class id, name, severity
	order  []string
	ext    map[string]string
}

// Maximum lengths of the ArcSight dictionary, in bytes; -4: IPv4 address, -6: IPv6
// address, -1: number.
var dictionary = map[string]int{
	"rt":                -1,
	"start":             -1,
	"end":               -1,
	"cn1":               -1,
	"cn2":               -1,
	"cnt":               -1,
	"src":               -4,
	"c6a2":              -6,
	"externalId":        40,
	"cat":               1023,
	"sourceServiceName": 1023,
	"outcome":           63,
	"shost":             1023,
	"sourceDnsDomain":   255,
	"deviceExternalId":  255,
	"sntdom":            255,
	"suser":             1023,
	"suid":              1023,
	"request":           1023,
	"fname":             1023,
	"filePath":          1023,
	"duser":             1023,
	"fileId":            1023,
	"proto":             31,
	"spt":               -1,
	"dpt":               -1,
	"dst":               -4,
	"c6a3":              -6,
	"c6a3Label":         1023,
	"fileHash":          255,
	"sproc":             1023,
	"cs1":               4000,
	"cs2":               4000,
	"cs3":               4000,
	"cs4":               4000,
	"cs5":               4000,
	"cs6":               4000,
	"flexString1":       1023,
	"flexString2":       1023,
	"msg":               1023,
	"reason":            1023,
	"c6a2Label":         1023,
	"cs1Label":          1023,
	"cs2Label":          1023,
	"cs3Label":          1023,
	"cs4Label":          1023,
	"cs5Label":          1023,
	"cs6Label":          1023,
	"cn1Label":          1023,
	"cn2Label":          1023,
	"flexString1Label":  128,
	"flexString2Label":  128,
}

func parseCEF(line string) (*parsedCEF, error) {
	if !utf8.ValidString(line) {
		return nil, fmt.Errorf("not UTF-8")
	}

	if i := strings.IndexFunc(line, unicode.IsControl); i >= 0 {
		return nil, fmt.Errorf("control character at %d", i)
	}

	rest, ok := strings.CutPrefix(line, "CEF:")
	if !ok {
		return nil, fmt.Errorf("no CEF: in front")
	}

	p := &parsedCEF{ext: map[string]string{}}

	rest, err := p.readHeader(rest)
	if err != nil {
		return nil, err
	}

	if p.header[0] != "0" {
		return nil, fmt.Errorf("version %q", p.header[0])
	}

	if n, err := strconv.Atoi(p.header[6]); p.header[6] != "Unknown" && (err != nil || n < 0 || n > 10) {
		return nil, fmt.Errorf("severity %q", p.header[6])
	}

	if err := p.readExtension(rest); err != nil {
		return nil, err
	}

	return p, p.checkLabels()
}

// readHeader reads the seven fields of the header, and returns what follows them.
func (p *parsedCEF) readHeader(rest string) (string, error) {
	limits := [7]int{1, 63, 63, 31, 1023, 512, 9}

	for k := range p.header {
		field, after, err := headerField(rest)
		if err != nil {
			return "", fmt.Errorf("header field %d: %w", k, err)
		}

		if field == "" || len(field) > limits[k] {
			return "", fmt.Errorf("header field %d has %d bytes", k, len(field))
		}

		p.header[k] = field
		rest = after
	}

	return rest, nil
}

// headerField reads up to the next bar without a backslash before it.
func headerField(s string) (field, rest string, err error) {
	var b strings.Builder

	for i := 0; i < len(s); i++ {
		if s[i] == '|' {
			return b.String(), s[i+1:], nil
		}

		if s[i] == '\\' {
			if i++; i == len(s) || s[i] != '\\' && s[i] != '|' {
				return "", "", errors.New("lone backslash")
			}
		}

		b.WriteByte(s[i])
	}

	return "", "", errors.New("it does not end")
}

// readExtension reads the pairs of key and value. A value ends where the word begins
// that stands before the next equals sign: that word is the next key.
func (p *parsedCEF) readExtension(rest string) error {
	var value strings.Builder

	key, word := "", 0 // word: where the last word of the value began

	for i := 0; i < len(rest); i++ {
		switch c := rest[i]; c {
		case '\\':
			if i++; i == len(rest) || !strings.ContainsRune(`\=nr`, rune(rest[i])) {
				return fmt.Errorf("lone backslash in %s", key)
			}

			value.WriteByte(map[byte]byte{'\\': '\\', '=': '=', 'n': '\n', 'r': '\r'}[rest[i]])
		case ' ':
			value.WriteByte(c)
			word = value.Len()
		case '=':
			next := value.String()[word:]
			if err := p.endValue(key, value.String()[:word], next); err != nil {
				return err
			}

			key, word = next, 0

			value.Reset()
		default:
			value.WriteByte(c)
		}
	}

	if key == "" {
		return fmt.Errorf("no extension")
	}

	return p.add(key, value.String())
}

// endValue adds key, whose value ends before the key next. There is no key yet before
// the first one.
func (p *parsedCEF) endValue(key, value, next string) error {
	if next == "" || strings.ContainsFunc(next, notInKeys) {
		return fmt.Errorf("%q is no key", next)
	}

	switch {
	case key == "" && value != "":
		return fmt.Errorf("text before the first key")
	case key == "":
		return nil
	case value == "":
		return fmt.Errorf("no space before key %q", next)
	}

	return p.add(key, value[:len(value)-1])
}

func notInKeys(r rune) bool {
	return r > 127 || !unicode.IsLetter(r) && !unicode.IsDigit(r)
}

func (p *parsedCEF) add(key, value string) error {
	if _, twice := p.ext[key]; twice {
		return fmt.Errorf("key %s twice", key)
	}

	if strings.Trim(value, " ") != value || value == "" {
		return fmt.Errorf("key %s: value empty or with spaces around", key)
	}

	p.order = append(p.order, key)
	p.ext[key] = value

	return checkValue(key, value)
}

// custom are the keys that need a label.
var custom = regexp.MustCompile(`^(cs|cn|flex|c6a)`)

// checkLabels checks that each label has a value, and each custom key a label.
func (p *parsedCEF) checkLabels() error {
	for k := range p.ext {
		base, isLabel := strings.CutSuffix(k, "Label")

		switch {
		case isLabel && p.ext[base] == "":
			return fmt.Errorf("label %s without a value", k)
		case !isLabel && k != "cnt" && custom.MatchString(k) && p.ext[k+"Label"] == "":
			return fmt.Errorf("custom key %s without a label", k)
		}
	}

	return nil
}

func checkValue(key, v string) error {
	limit, known := dictionary[key]
	ip, notIP := netip.ParseAddr(v)

	_, notNumber := strconv.ParseUint(v, 10, 63)
	switch {
	case !known:
		return fmt.Errorf("key %s is not in the dictionary", key)
	case limit == -1 && notNumber != nil,
		limit == -4 && (notIP != nil || !ip.Is4()),
		limit == -6 && (notIP != nil || !ip.Is6()):
		return fmt.Errorf("key %s has the wrong kind of value %q", key, v)
	case limit > 0 && len(v) > limit:
		return fmt.Errorf("key %s has %d bytes", key, len(v))
	}

	return nil
}

func TestStrictReaderCanRefuse(t *testing.T) {
	const head = `CEF:0|Microsoft|p|1|c|n|5|`
	if p, err := parseCEF(head + `msg=a b\=c\\ d shost=h`); err != nil || p.ext["msg"] != `a b=c\ d` ||
		p.ext["shost"] != "h" {
		t.Errorf("a good line: %v, %v", p, err)
	}

	for _, line := range []string{"", `CEF:1|Microsoft|p|1|c|n|5|msg=a`, `CEF:0|Microsoft|p|1|c|n|11|msg=a`,
		`CEF:0|Microsoft|p|1||n|1|msg=a`,
		head, head + `msg=a\`, head + `msg=a\b`, head + `msg=a=b`, head + `msg=a msg=b`, head + `msg= a`,
		head + `msg=a `, head + `msg=`,
		head + "msg=a\nb", head + "msg=\xff", head + `src=::1`, head + `c6a2=1.2.3.4 c6a2Label=x`, head + `rt=soon`,
		head + `nokey=1`,
		head + `cs1=a`, head + `cs1Label=a`, head + `outcome=` + strings.Repeat("x", 64), head + ` msg=a`} {
		if _, err := parseCEF(line); err == nil {
			t.Errorf("%q is accepted", line)
		}
	}
}
