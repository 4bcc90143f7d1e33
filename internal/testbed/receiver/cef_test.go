package receiver

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestCEFIsReadBack(t *testing.T) {
	const line = `CEF:0|Micro\|soft|a\\b|2.0|class=1|na me|Unknown|rt=1770110011722 msg=a b\=c\\d|e\r\nf ` +
		`src=192.0.2.1 c6a2=2001:db8::1 c6a2Label=Source IPv6 Address cs1=x cs1Label=Threat cn1=-1 cn1Label=N cnt=7 ` +
		`smac=00:11:22:33:44:55 cfp1=1.5 cfp1Label=F end=Feb 03 2026 09:13:31`

	c, err := ParseCEF(line)
	if err != nil {
		t.Fatal(err)
	}

	head := []string{c.Version, c.Vendor, c.Product, c.DeviceVersion, c.ClassID, c.Name, c.Severity}
	if got := strings.Join(head, ";"); got != `0;Micro|soft;a\b;2.0;class=1;na me;Unknown` {
		t.Errorf("the header is %s", got)
	}

	got := fmt.Sprint(c.Keys)
	if got != "[rt msg src c6a2 c6a2Label cs1 cs1Label cn1 cn1Label cnt smac cfp1 cfp1Label end]" {
		t.Errorf("the keys are %s", got)
	}

	if got := c.Values["msg"]; got != "a b=c\\d|e\r\nf" {
		t.Errorf("msg is %q", got)
	}

	if _, err := ParseCEF(`CEF:1|v|p|1|c|n|10|threatActor=x`); err != nil {
		t.Errorf("a key of version 1.2: %v", err)
	}

	if _, err := ParseCEF(`CEF:0|v|p|1|c|n|10|`); err != nil {
		t.Errorf("no extension: %v", err)
	}
}

func TestCEFThatTheStandardForbidsIsRefused(t *testing.T) {
	const head = `CEF:0|Microsoft|p|1|c|n|5|`
	cases := []string{
		"", " " + head + "msg=a", "cef:0|a|b|c|d|e|5|msg=a", `CEF:2|a|b|c|d|e|5|msg=a`, `CEF:0|a|b|c|d|e|5`,
		`CEF:0|a|b|c||e|5|`, `CEF:0|a|b|c| |e|5|`,
		`CEF:0|a|b|c|d|e|11|`, `CEF:0|a|b|c|d|e|05|`, `CEF:0|a|b|c|d|e|high|`, `CEF:0|a|b|c|d\=|e|5|`,
		`CEF:0|a|b|c|d|e\`,
		`CEF:0|` + strings.Repeat("a", 64) + `|b|c|d|e|5|`,
		`CEF:0|a|b|c|d|` + strings.Repeat("é", 257) + `|5|`, "CEF:0|a\nb|b|c|d|e|5|",
		head + `msg`, head + `msg=`, head + `msg= a`, head + `msg=a `, head + ` msg=a`, head + `msg=a  shost=b`,
		head + `msg=a=b`, head + `msg=a shost=`,
		head + `msg=a\`, head + `msg=a\b`, head + `msg=a\|b`, head + `msg=a msg=b`, head + "msg=a\tb",
		head + "msg=\xff", head + "msg=a\u0085",
		head + `x-y=1`, head + `nokey=1`, head + `é=1`, head + `eventId=1`, head + `threatActor=1`, head + `Msg=1`,
		head + `externalId=` + strings.Repeat("1", 41), head + `outcome=` + strings.Repeat("1", 64),
		head + `msg=` + strings.Repeat("é", 512),
		head + `src=2001:db8::1`, head + `src=host`, head + `c6a2=192.0.2.1 c6a2Label=x`,
		head + `c6a2=fe80::1%eth0 c6a2Label=x`, head + `smac=00`,
		head + `cnt=many`, head + `cnt=2147483648`, head + `cn1=1.5 cn1Label=x`, head + `rt=soon`,
		head + `rt=1770110011`, head + `cs1=a`, head + `cs1Label=a`, head + `cs1=a cs1Label=l cs2=b cs2Label=l`,
	}

	for _, line := range cases {
		if c, err := ParseCEF(line); !errors.Is(err, ErrCEF) {
			t.Errorf("%q is read as %v, %v", line, c, err)
		}
	}
}

// FuzzCEF: what is accepted and written again by the rules is the same line.
func FuzzCEF(f *testing.F) {
	f.Add(`CEF:0|Micro\|soft|a\\b|2.0|class=1|na me|Unknown|rt=1770110011722 msg=a b\=c\\d|e\r\nf src=192.0.2.1`)
	f.Add(`CEF:0|a|b|c|d|e|5|cs1=a=b cs1Label=x`)
	f.Fuzz(func(t *testing.T, line string) {
		c, err := ParseCEF(line)
		if err != nil {
			return
		}

		var b strings.Builder
		b.WriteString("CEF:")

		for _, field := range []string{c.Version, c.Vendor, c.Product, c.DeviceVersion, c.ClassID, c.Name, c.Severity} {
			b.WriteString(strings.NewReplacer(`\`, `\\`, `|`, `\|`).Replace(field) + "|")
		}

		for i, key := range c.Keys {
			if i > 0 {
				b.WriteByte(' ')
			}

			b.WriteString(
				key + "=" + strings.NewReplacer(`\`, `\\`, `=`, `\=`, "\n", `\n`, "\r", `\r`).Replace(c.Values[key]),
			)
		}

		if b.String() != line {
			t.Errorf("%q was read as %q", line, b.String())
		}
	})
}
