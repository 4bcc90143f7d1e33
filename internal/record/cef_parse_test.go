package record

import (
	"fmt"
	"net/netip"
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
	limits := [7]int{1, 63, 63, 31, 1023, 512, 9}

	for k := range p.header {
		var field strings.Builder

		end := -1

		for i := 0; i < len(rest); i++ {
			if rest[i] == '|' {
				end = i
				break
			}

			if rest[i] == '\\' {
				if i++; i == len(rest) || rest[i] != '\\' && rest[i] != '|' {
					return nil, fmt.Errorf("header field %d: lone backslash", k)
				}
			}

			field.WriteByte(rest[i])
		}

		if end < 0 {
			return nil, fmt.Errorf("header field %d does not end", k)
		}

		p.header[k], rest = field.String(), rest[end+1:]
		if p.header[k] == "" || len(p.header[k]) > limits[k] {
			return nil, fmt.Errorf("header field %d has %d bytes", k, len(p.header[k]))
		}
	}

	if p.header[0] != "0" {
		return nil, fmt.Errorf("version %q", p.header[0])
	}

	if n, err := strconv.Atoi(p.header[6]); p.header[6] != "Unknown" && (err != nil || n < 0 || n > 10) {
		return nil, fmt.Errorf("severity %q", p.header[6])
	}

	return p, p.extension(rest)
}

func (p *parsedCEF) extension(rest string) error {
	var value strings.Builder

	key, word := "", 0 // word: where the last word of the value began
	finish := func(v string) error {
		if _, twice := p.ext[key]; twice {
			return fmt.Errorf("key %s twice", key)
		}

		if strings.Trim(v, " ") != v || v == "" {
			return fmt.Errorf("key %s: value empty or with spaces around", key)
		}

		p.order, p.ext[key] = append(p.order, key), v

		return checkValue(key, v)
	}

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
			if next == "" ||
				strings.ContainsFunc(
					next,
					func(r rune) bool { return r > 127 || !unicode.IsLetter(r) && !unicode.IsDigit(r) },
				) {
				return fmt.Errorf("%q is no key", next)
			}

			if key != "" {
				if word == 0 {
					return fmt.Errorf("no space before key %q", next)
				}

				if err := finish(value.String()[:word-1]); err != nil {
					return err
				}
			} else if word != 0 {
				return fmt.Errorf("text before the first key")
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

	if err := finish(value.String()); err != nil {
		return err
	}

	for k := range p.ext {
		custom := strings.HasPrefix(k, "cs") || strings.HasPrefix(k, "cn") && k != "cnt" ||
			strings.HasPrefix(k, "flex") ||
			strings.HasPrefix(k, "c6a")
		if base, isLabel := strings.CutSuffix(k, "Label"); isLabel && p.ext[base] == "" {
			return fmt.Errorf("label %s without a value", k)
		} else if custom && !isLabel && p.ext[k+"Label"] == "" {
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
