package receiver

import (
	"crypto/tls"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// syslogLine is what a sender writes, and what the receiver makes of it.
type syslogLine struct {
	format SyslogFormat
	line   string
	want   string // the message in short, or the beginning of the fault
}

func syslogLines() map[string]syslogLine {
	const bom = "\xef\xbb\xbf"

	return map[string]syslogLine{
		"3164": {RFC3164, `<133>Feb  3 09:13:31 poller CEF:0|a=b 😀`,
			`16.5 02-03T09:13:31 poller "CEF:0|a=b 😀"`},
		"3164, two digits":  {RFC3164, `<0>Nov 23 09:13:31 10.0.0.1 x`, `0.0 11-23T09:13:31 10.0.0.1 "x"`},
		"3164 without host": {RFC3164, `<133>Feb  3 09:13:31 CEF:0|Microsoft|x`, `fault: no host`},
		"3164 with a tag":   {RFC3164, `<133>Feb  3 09:13:31 app[1]: CEF:0|x`, `fault: no host`},
		"3164 with a mark":  {RFC3164, `<133>Feb  3 09:13:31 h ` + bom + `CEF:0`, `fault: a byte order mark`},
		"3164 with 5424's time": {RFC3164, `<133>1 2026-02-03T09:13:31.000000Z h - - - - ` + bom + `x`,
			`fault: no time`},
		"no priority":         {RFC3164, `Feb  3 09:13:31 h x`, `fault: no priority`},
		"priority too great":  {RFC3164, `<192>Feb  3 09:13:31 h x`, `fault: no priority`},
		"priority with zeros": {RFC3164, `<013>Feb  3 09:13:31 h x`, `fault: no priority`},
		"octet count":         {RFC3164, `30 <133>Feb  3 09:13:31 h x`, `fault: an octet count`},
		"carriage return":     {RFC3164, "<133>Feb  3 09:13:31 h x\r", `fault: control character '\r'`},
		"tab":                 {RFC3164, "<133>Feb  3 09:13:31 h x\ty", `fault: control character '\t'`},
		"cut in a character":  {RFC3164, "<133>Feb  3 09:13:31 h x\xc3", `fault: not UTF-8`},
		"nothing":             {RFC3164, "", `fault: no priority`},
		"5424": {
			RFC5424,
			`<133>1 2026-02-03T09:13:31.722001Z poller app 7 ID [a@1 k="v]\"\\"][b] ` + bom + `CEF:0`,
			`16.5 02-03T09:13:31 poller "CEF:0" app 7 ID`,
		},
		"5424, all empty": {RFC5424, `<14>1 2026-02-03T09:13:31Z - - - - -`, `1.6 02-03T09:13:31 - ""`},
		"5424 without mark": {
			RFC5424,
			`<133>1 2026-02-03T09:13:31Z h - - - - CEF:0`,
			`fault: a message in UTF-8 without byte order mark`,
		},
		"5424, version 2":          {RFC5424, `<133>2 2026-02-03T09:13:31Z h - - - -`, `fault: version "2"`},
		"5424, no time":            {RFC5424, `<133>1 Feb h - - - -`, `fault: version "1" or time "Feb"`},
		"5424, a field is missing": {RFC5424, `<133>1 2026-02-03T09:13:31Z h -`, `fault: header field 4`},
		"5424, app too long": {
			RFC5424,
			`<133>1 2026-02-03T09:13:31Z h ` + strings.Repeat("a", 49) + ` - - -`,
			`fault: header field 4`,
		},
		"5424, open element": {RFC5424, `<133>1 2026-02-03T09:13:31Z h - - - [a k="v] x`,
			`fault: structured data`},
		"5424, no structured data":  {RFC5424, `<133>1 2026-02-03T09:13:31Z h - - - x`, `fault: no structured data`},
		"5424, text at once behind": {RFC5424, `<133>1 2026-02-03T09:13:31Z h - - - -x`, `fault: no space`},
	}
}

func TestSyslogLines(t *testing.T) {
	for name, c := range syslogLines() {
		m, err := parseSyslog(c.line, c.format)

		got := fmt.Sprintf("%d.%d %s %s %q", m.Facility, m.Severity, m.Time.Format("01-02T15:04:05"), m.Host, m.Text)
		if m.Host == "" {
			got = strings.Replace(got, "  ", " - ", 1)
		}

		if m.App != "" {
			got += " " + m.App + " " + m.ProcID + " " + m.MsgID
		}

		if err != nil {
			got = "fault: " + err.Error()
		}

		if err == nil && got != c.want || err != nil && !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %s; want %s", name, got, c.want)
		}
	}
}

// until waits for what another goroutine of this process is about to do.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()

	for end := time.Now().Add(3 * time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never: " + what)
		}
	}
}

func TestSyslogOverTCPAndTLS(t *testing.T) {
	server, err := Certificate(filepath.Join(t.TempDir(), "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}

	const line = "<133>Feb  3 09:13:31 h CEF:0\n"

	for _, cfg := range []*tls.Config{nil, server} {
		s, err := StartSyslog(SyslogConfig{
			Format:     RFC3164,
			TLS:        cfg,
			MaxBytes:   100,
			BreakEvery: 2,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()

		address := fmt.Sprintf("127.0.0.1:%d", s.Port())
		send := func(text string) {
			var c net.Conn

			c, err := net.Dial("tcp", address)
			if cfg != nil && err == nil {
				c = tls.Client(c, &tls.Config{InsecureSkipVerify: true}) // whom it talks to is not the question here
			}

			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()

			if _, err := c.Write([]byte(text)); err != nil {
				t.Fatal(err)
			}
		}
		send(line)
		until(t, "the first message", func() bool { return len(s.Messages()) == 1 })
		send(line + line)
		until(t, "the break", func() bool { return s.Breaks() == 1 })

		if n := len(s.Messages()); n != 2 {
			t.Errorf("%d messages; the one behind the break is lost", n)
		}

		send(strings.TrimSuffix(line, "\n"))
		until(t, "the fault of a line without end", func() bool { return len(s.Faults()) == 1 })
		send(strings.Repeat("x", 200))
		until(t, "the fault of a long line", func() bool { return len(s.Faults()) == 2 })
		send("x\n")
		until(t, "the fault of a bad line", func() bool { return len(s.Faults()) == 3 })

		for i, want := range []string{"ended within the line", "longer than 100 bytes", "no priority"} {
			if !strings.Contains(s.Faults()[i], want) {
				t.Errorf("fault %q; want %s", s.Faults()[i], want)
			}
		}
	}
}

func TestSyslogOfAnUnknownFormatIsRefused(t *testing.T) {
	if _, err := StartSyslog(SyslogConfig{}); err == nil {
		t.Error("it started")
	}
}

func FuzzSyslog(f *testing.F) {
	f.Add(`<133>Feb  3 09:13:31 h CEF:0`, true)
	f.Add("<133>1 2026-02-03T09:13:31Z h a 1 b [a@1 k=\"v\"] \xef\xbb\xbfx", false)
	f.Fuzz(func(t *testing.T, line string, old bool) {
		format := RFC5424
		if old {
			format = RFC3164
		}

		if m, err := parseSyslog(line, format); err == nil &&
			(!strings.HasSuffix(line, m.Text) || m.Severity > 7 || m.Facility > 23) {
			t.Errorf("%q was read as %+v", line, m)
		}
	})
}
