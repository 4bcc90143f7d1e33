package lint

import (
	"fmt"
	"strings"

	"fluent-bit-defender/internal/config/fluentbit"
	"fluent-bit-defender/internal/config/plain"
)

// syslog checks an output of that name. It sends one key of each record, and an empty
// message where a record does not have it.
func (l *linter) syslog(sec fluentbit.Section, mine []customer) {
	const empty = "the receiver gets empty lines, and nobody is told"

	switch key := sec.Get("syslog_message_key"); {
	case key == "":
		remedy := "write: Syslog_Message_Key cef, and in the section of the input: format cef"
		if lacks(mine, "raw") == "" {
			remedy = "write: Syslog_Message_Key message"
		}

		l.at(Error, sec, "Syslog_Message_Key", "is missing: "+empty, remedy)
	case strings.HasPrefix(key, "$"):
		l.at(Error, sec, "Syslog_Message_Key", plain.Quoted(key)+" is taken for the name of a key: "+empty,
			"write it without the dollar sign: "+strings.TrimPrefix(key, "$"))
	default:
		l.field(sec, "Syslog_Message_Key", key, empty, mine)
	}

	l.choice(sec, "mode", "udp", "tcp", "tls", "dtls")
	l.choice(sec, "syslog_format", "rfc3164", "rfc5424")
	l.preset(sec, "syslog_severity_preset", 7)
	l.preset(sec, "syslog_facility_preset", 23)
	l.syslogHeader(sec)
	l.syslogSize(sec, mine)

	mode := strings.ToLower(sec.Get("mode"))
	switch {
	case (mode == "" || mode == "udp") && on(sec.Get("tls")):
		l.at(Error, sec, "tls", "is on with the mode udp"+refuses, "write: Mode tls")
	case mode == "":
		l.at(
			Warning,
			sec,
			"Mode",
			"is not set, and so udp: datagrams get lost, and nobody learns whether one arrived",
			"write: Mode tls",
		)
	case mode == "udp" || mode == "dtls":
		l.at(Warning, sec, "Mode", "is "+mode+": datagrams get lost, and nobody learns whether one arrived",
			"write: Mode tls")
	}
}

func (l *linter) preset(sec fluentbit.Section, key string, most int) {
	if v := sec.Get(key); v != "" && (atoi(v) < 0 || atoi(v) > most) {
		l.at(Error, sec, key, fmt.Sprintf("%s is not between 0 and %d%s", plain.Quoted(v), most, refuses),
			"write a number between them")
	}
}

// syslogHeader checks what stands before the message.
func (l *linter) syslogHeader(sec fluentbit.Section) {
	if f := strings.ToLower(sec.Get("syslog_format")); f != "rfc3164" {
		if sec.Get("syslog_message_key") == "cef" && (f == "" || f == "rfc5424") {
			l.at(Warning, sec, "Syslog_Format",
				"is rfc5424, which puts a byte order mark before the text: some receivers then do not find \"CEF:\"",
				"write: Syslog_Format rfc3164")
		}

		return
	}

	if sec.Get("syslog_hostname_key") == "" && sec.Get("syslog_hostname_preset") == "" {
		l.at(Warning, sec, "Syslog_Hostname_Preset",
			"is missing: the lines have no host, and a receiver takes the next word for it",
			"write: Syslog_Hostname_Preset defender")
	}

	for _, key := range []string{"syslog_appname_key", "syslog_appname_preset", "syslog_procid_key",
		"syslog_procid_preset"} {
		if sec.Get(key) != "" && sec.Get("syslog_message_key") == "cef" {
			l.at(
				Warning,
				sec,
				key,
				"puts a name before \"CEF:\", and some receivers then do not find it",
				"remove it",
			)
		}
	}
}

// syslogSize checks Syslog_Maxsize: a longer line is cut in the middle, and nobody is
// told.
func (l *linter) syslogSize(sec fluentbit.Section, mine []customer) {
	size := sizeOf(sec.Get("syslog_maxsize"))

	said := fmt.Sprintf("is %d", size)
	if size <= 0 {
		size, said = 2048, "is not set, and so 2048"
		if strings.EqualFold(sec.Get("syslog_format"), "rfc3164") {
			size, said = 1024, "is not set, and so 1024"
		}
	}

	const header = 256 // priority, time, host, and some more

	need, what := 65536-header, "alerts"
	if sec.Get("syslog_message_key") == "cef" {
		need, what = 0, "CEF lines"
		for _, c := range mine {
			need = max(need, c.cefBytes)
		}
	}

	if size < need+header {
		l.at(Error, sec, "Syslog_MaxSize",
			fmt.Sprintf("%s: longer lines are cut in the middle, and the %s have up to %d bytes", said, what, need),
			"write: Syslog_MaxSize 65536")
	}
}

// sizeOf reads a size as flb_utils_size_to_bytes does, for common values.
func sizeOf(v string) int {
	n := atoi(v)
	switch unit := strings.TrimLeft(strings.ToUpper(v), "0123456789"); unit {
	case "K", "KB":
		return n * 1000
	case "M", "MB":
		return n * 1000 * 1000
	case "G", "GB":
		return n * 1000 * 1000 * 1000
	}

	return n
}
