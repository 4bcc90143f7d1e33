package lint_test

import (
	"bufio"
	"context"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/cli/lint"
	"fluent-bit-defender/internal/test/setup"
)

// odd is a configuration that was made from a good one by one change, what Fluent Bit
// 5.1.1 does with it, and what check says of it.
type odd struct {
	name string
	// service and input are added to these sections; more stands behind, in place of
	// output, if it begins with a bracket, else added to the output stdout.
	service, input, more string
	// refused: Fluent Bit does not start.
	refused bool
	// level and says are of the finding; none is expected where says is empty.
	level lint.Level
	says  string
}

const (
	splunk = "[OUTPUT]\n    Name splunk\n    Match *\n    Retry_Limit no_limits\n    Host 127.0.0.1\n    Port 19611\n"
	syslog = "[OUTPUT]\n    Name syslog\n    Match *\n    Retry_Limit no_limits\n    Host 127.0.0.1\n    Port 19612\n"
	other  = "[OUTPUT]\n    Match *\n    Retry_Limit no_limits\n    Host 127.0.0.1\n    Port 19613\n    Name "
	// arcsight is a syslog output with nothing wrong.
	arcsight = syslog + "    Mode tcp\n    Syslog_Format rfc3164\n    Syslog_Hostname_Preset h\n" +
		"    Syslog_MaxSize 65536\n    Syslog_Message_Key cef\n"
)

var odds = []odd{
	{name: "good"},
	{
		name:    "log level",
		input:   "log_level inof",
		refused: true,
		level:   lint.Error,
		says:    "\"inof\" is not a log level",
	},
	{
		name:    "storage type",
		input:   "storage.type filesytem",
		refused: true,
		level:   lint.Error,
		says:    "is not a storage type",
	},
	{
		name:    "threaded",
		input:   "threaded of",
		refused: true,
		level:   lint.Error,
		says:    "is neither on nor off, and Fluent Bit refuses",
	},
	{
		name:    "mem_buf_limit",
		input:   "mem_buf_limit 5x",
		refused: true,
		level:   lint.Error,
		says:    "is not a size",
	},
	{
		name:    "pause",
		input:   "storage.pause_on_chunks_overlimit maybe",
		refused: true,
		level:   lint.Error,
		says:    "is neither on nor off",
	},
	{
		name:    "ring",
		input:   "thread.ring_buffer.window 200",
		refused: true,
		level:   lint.Error,
		says:    "is not in the range",
	},
	{
		name:    "tls of an input",
		input:   "tls on",
		refused: true,
		level:   lint.Error,
		says:    "has no TLS",
	},
	{
		name:  "routable off",
		input: "routable off",
		level: lint.Error,
		says:  "throws every record of this input away",
	},
	{
		name:  "routable odd",
		input: "routable of",
		level: lint.Warning,
		says:  "Fluent Bit ignores it",
	},
	{
		name:  "tag twice",
		input: "tag defender.two\n    tag defender.one",
		level: lint.Note,
		says:  "uses the last",
	},

	{
		name:    "service log level",
		service: "log_level loud",
		refused: true,
		level:   lint.Error,
		says:    "is not a log level",
	},
	{
		name:    "flush 0",
		service: "flush 0",
		refused: true,
		level:   lint.Error,
		says:    "is not a number above 0",
	},
	{
		name:    "flush a word",
		service: "flush often",
		refused: true,
		level:   lint.Error,
		says:    "is not a number above 0",
	},
	{
		name:    "storage.sync",
		service: "storage.sync always",
		refused: true,
		level:   lint.Error,
		says:    "neither normal nor full",
	},
	{
		name:    "parsers file",
		service: "parsers_file nowhere.conf",
		refused: true,
		level:   lint.Error,
		says:    "no such file",
	},
	{
		name:    "plugins file",
		service: "plugins_file nowhere.conf",
		refused: true,
		level:   lint.Error,
		says:    "no such file",
	},
	{
		name:    "misspelt",
		service: "storage.chekcsum off",
		level:   lint.Warning,
		says:    "did you mean storage.checksum?",
	},
	{name: "inherited storage", service: "storage.inherit on\n    storage.type filesystem"},
	{
		name:    "keep rejected odd",
		service: "storage.keep.rejected maybe",
		level:   lint.Warning,
		says:    "neither on nor off",
	},
	{
		name:    "grace a word",
		service: "grace long",
		level:   lint.Warning,
		says:    "takes 0 for it",
	},
	{
		name:    "plugins in the main file",
		more:    "[PLUGINS]\n    Path /none.so\n",
		refused: true,
		level:   lint.Error,
		says:    "Plugins_File",
	},
	{
		name:    "parser in the main file",
		more:    "[PARSER]\n    Name x\n    Format json\n",
		refused: true,
		level:   lint.Error,
		says:    "Parsers_File",
	},
	{
		name:  "unknown section",
		more:  "[OUPUT]\n    Name null\n    Match *\n",
		level: lint.Error,
		says:  "did you mean OUTPUT?",
	},

	{
		name:    "no such output",
		more:    other + "splnk\n",
		refused: true,
		level:   lint.Error,
		says:    "did you mean splunk?",
	},
	{
		name:    "no name",
		more:    "[OUTPUT]\n    Match *\n",
		refused: true,
		level:   lint.Error,
		says:    "Name: is missing",
	},
	{
		name:    "misspelt key",
		more:    "    fromat json",
		refused: true,
		level:   lint.Error,
		says:    "did you mean format?",
	},
	{
		name:    "misspelt core key",
		more:    "    retry_limt 5",
		refused: true,
		level:   lint.Error,
		says:    "did you mean retry_limit?",
	},
	{
		name:    "key twice",
		more:    "    format json_lines\n    format json",
		refused: true,
		level:   lint.Error,
		says:    "is set twice",
	},
	{
		name:  "match twice",
		more:  "    match nowhere",
		level: lint.Error,
		says:  "reaches no output",
	},
	{
		name:    "empty alias",
		more:    "    alias ${NOT_SET_ANYWHERE}",
		refused: true,
		level:   lint.Error,
		says:    "has no value",
	},
	{
		name:    "tls without TLS",
		more:    "    tls on",
		refused: true,
		level:   lint.Error,
		says:    "has no TLS",
	},
	{
		name:    "total limit",
		more:    "    storage.total_limit_size 5x",
		refused: true,
		level:   lint.Error,
		says:    "is not a size",
	},
	{
		name:    "output log level",
		more:    "    log_level loud",
		refused: true,
		level:   lint.Error,
		says:    "is not a log level",
	},
	{
		name:    "net key",
		more:    splunk + "    Splunk_Token x\n    net.keepalve on\n",
		refused: true,
		level:   lint.Error,
		says:    "did you mean net.keepalive?",
	},
	{
		name:    "oauth key",
		more:    other + "http\n    format json\n    oauth2.token x\n",
		refused: true,
		level:   lint.Error,
		says:    "oauth2.token",
	},
	{
		name:    "boolean",
		more:    splunk + "    Splunk_Token x\n    splunk_send_raw maybe\n",
		refused: true,
		level:   lint.Error,
		says:    "neither on nor off",
	},
	{
		name:  "retry limit no",
		more:  "    retry_limit no",
		level: lint.Error,
		says:  "is not understood",
	},
	{name: "retry limit off", more: strings.Replace(other, "no_limits", "off", 1) + "stdout\n"},
	{
		name:  "stdout format",
		more:  "    format jsn",
		level: lint.Error,
		says:  "is not known",
	},

	{
		name:  "splunk",
		more:  splunk + "    Splunk_Token x\n",
		level: lint.Note,
		says:  "storage.keep.rejected on",
	},
	{
		name:    "splunk without token",
		more:    splunk,
		refused: true,
		level:   lint.Error,
		says:    "Splunk_Token: is missing",
	},
	{
		name:  "splunk raw",
		more:  splunk + "    Splunk_Token x\n    Splunk_Send_Raw on\n",
		level: lint.Error,
		says:  "HEC answers 400",
	},
	{
		name:    "splunk event key",
		more:    splunk + "    Splunk_Token x\n    Event_Key cef\n",
		refused: true,
		level:   lint.Error,
		says:    "Event_Key $cef",
	},
	{
		name:  "splunk event key cef",
		more:  splunk + "    Splunk_Token x\n    Event_Key $cef\n",
		level: lint.Error,
		says:  "the format of one is json",
	},
	{
		name:  "splunk event key cef of cef",
		input: "format json+cef",
		more:  splunk + "    Splunk_Token x\n    Event_Key $cef\n",
		level: lint.Note,
		says:  "HEC",
	},
	{
		name:    "splunk event field",
		more:    splunk + "    Splunk_Token x\n    Event_Field tenant\n",
		refused: true,
		level:   lint.Error,
		says:    "needs 2",
	},
	{
		name:  "splunk in clear",
		more:  strings.Replace(splunk, "127.0.0.1", "hec.invalid", 1) + "    Splunk_Token x\n",
		level: lint.Warning,
		says:  "clear text",
	},
	{
		name: "splunk unverified",
		more: strings.Replace(
			splunk,
			"127.0.0.1",
			"hec.invalid",
			1,
		) + "    Splunk_Token x\n    tls on\n    tls.verify off\n",
		level: lint.Warning,
		says:  "tls.verify: is off",
	},
	{
		name:    "splunk CA missing",
		more:    splunk + "    Splunk_Token x\n    tls on\n    tls.ca_file /none.pem\n",
		refused: true,
		level:   lint.Error,
		says:    "no such file",
	},

	{name: "syslog", input: "format cef", more: arcsight},
	{
		name:  "syslog of json",
		more:  arcsight,
		level: lint.Error,
		says:  "the receiver gets empty lines",
	},
	{
		name:  "syslog message of json",
		more:  strings.Replace(arcsight, "Key cef", "Key message", 1),
		level: lint.Error,
		says:  "the format of one is json",
	},
	{
		name:  "syslog without key",
		input: "format cef",
		more:  strings.Replace(arcsight, "    Syslog_Message_Key cef\n", "", 1),
		level: lint.Error,
		says:  "Syslog_Message_Key: is missing",
	},
	{
		name:  "syslog $cef",
		input: "format cef",
		more:  strings.Replace(arcsight, "Key cef", "Key $cef", 1),
		level: lint.Error,
		says:  "without the dollar sign",
	},
	{
		name:  "syslog CEF",
		input: "format cef",
		more:  strings.Replace(arcsight, "Key cef", "Key CEF", 1),
		level: lint.Error,
		says:  "small letters",
	},
	{
		name:  "syslog title of cef",
		input: "format cef",
		more:  strings.Replace(arcsight, "Key cef", "Key title", 1),
		level: lint.Error,
		says:  "no key \"title\"",
	},
	{
		name:  "syslog title of json",
		more:  strings.Replace(arcsight, "Key cef", "Key title", 1),
		level: lint.Warning,
		says:  "sends only what the alerts have under \"title\"",
	},
	{
		name:  "syslog size",
		input: "format cef",
		more:  strings.Replace(arcsight, "    Syslog_MaxSize 65536\n", "", 1),
		level: lint.Error,
		says:  "is not set, and so 1024",
	},
	{
		name:  "syslog small size",
		input: "format cef",
		more:  strings.Replace(arcsight, "65536", "4K", 1),
		level: lint.Error,
		says:  "is 4000",
	},
	{
		name:  "syslog rfc5424",
		input: "format cef",
		more:  strings.Replace(arcsight, "rfc3164", "rfc5424", 1),
		level: lint.Warning,
		says:  "byte order mark",
	},
	{
		name:  "syslog no host",
		input: "format cef",
		more:  strings.Replace(arcsight, "    Syslog_Hostname_Preset h\n", "", 1),
		level: lint.Warning,
		says:  "Syslog_Hostname_Preset",
	},
	{
		name:  "syslog appname",
		input: "format cef",
		more:  arcsight + "    Syslog_Appname_Preset x\n",
		level: lint.Warning,
		says:  "before \"CEF:\"",
	},
	{
		name:  "syslog udp",
		input: "format cef",
		more:  strings.Replace(arcsight, "Mode tcp", "Mode udp", 1),
		level: lint.Warning,
		says:  "datagrams",
	},
	{
		name:    "syslog udp with tls",
		input:   "format cef",
		more:    strings.Replace(arcsight, "Mode tcp", "Mode udp\n    tls on", 1),
		refused: true,
		level:   lint.Error,
		says:    "tls: is on with the mode udp",
	},
	{
		name:    "syslog mode",
		input:   "format cef",
		more:    strings.Replace(arcsight, "Mode tcp", "Mode tpc", 1),
		refused: true,
		level:   lint.Error,
		says:    "is not known",
	},
	{
		name:    "syslog format",
		input:   "format cef",
		more:    strings.Replace(arcsight, "rfc3164", "rfc3614", 1),
		refused: true,
		level:   lint.Error,
		says:    "is not known",
	},
	{
		name:    "syslog severity",
		input:   "format cef",
		more:    arcsight + "    Syslog_Severity_Preset 9\n",
		refused: true,
		level:   lint.Error,
		says:    "between 0 and 7",
	},

	{
		name:  "http",
		more:  other + "http\n    format json\n",
		level: lint.Note,
		says:  "status 4xx",
	},
	{
		name:  "http msgpack",
		more:  other + "http\n",
		level: lint.Warning,
		says:  "MessagePack",
	},
	{
		name:  "http format",
		more:  other + "http\n    format jsonl\n",
		level: lint.Error,
		says:  "is not known",
	},
	{
		name:    "http method",
		more:    other + "http\n    format json\n    http_method get\n",
		refused: true,
		level:   lint.Error,
		says:    "is not known",
	},
	{
		name:    "http body key",
		more:    other + "http\n    format json\n    body_key $cef\n",
		refused: true,
		level:   lint.Error,
		says:    "only work together",
	},
	{name: "tcp", more: other + "tcp\n    format json_lines\n"},
	{
		name:  "tcp msgpack",
		more:  other + "tcp\n",
		level: lint.Warning,
		says:  "MessagePack",
	},
	{
		name:  "tcp format",
		more:  other + "tcp\n    format gelf\n",
		level: lint.Error,
		says:  "is not known",
	},
	{
		name:  "tcp raw key",
		more:  other + "tcp\n    raw_message_key $cef\n",
		level: lint.Error,
		says:  "the format of one is json",
	},
	{
		name:  "tcp raw word",
		input: "format cef",
		more:  other + "tcp\n    raw_message_key cef\n",
		level: lint.Error,
		says:  "gets the word \"cef\"",
	},
	{
		name:  "udp",
		more:  other + "udp\n    format json\n",
		level: lint.Warning,
		says:  "udp loses datagrams",
	},
	{
		name:  "es",
		more:  other + "es\n",
		level: lint.Note,
		says:  "use the output opensearch",
	},
	{
		name:    "es operation",
		more:    other + "es\n    write_operation updte\n",
		refused: true,
		level:   lint.Error,
		says:    "is not known",
	},
	{
		name:    "es operation without id",
		more:    other + "es\n    write_operation update\n",
		refused: true,
		level:   lint.Error,
		says:    "Generate_Id",
	},
	{
		name:    "opensearch operation",
		more:    other + "opensearch\n    write_operation updte\n",
		refused: true,
		level:   lint.Error,
		says:    "is not known",
	},
	{name: "file", more: other + "file\n    path .\n"},
	{
		name:    "file format",
		more:    other + "file\n    path .\n    format json\n",
		refused: true,
		level:   lint.Error,
		says:    "is not known",
	},
	{
		name:  "forward",
		more:  other + "forward\n",
		level: lint.Warning,
		says:  "Require_ack_response On",
	},
	{
		name:  "null",
		more:  other + "null\n",
		level: lint.Warning,
		says:  "throw its records away",
	},
	{
		name:    "s3 without bucket",
		more:    other + "s3\n    region eu-central-1\n",
		refused: true,
		level:   lint.Error,
		says:    "bucket: is missing",
	},
	{
		name:  "kafka raw",
		more:  other + "kafka\n    brokers 127.0.0.1:19614\n    format raw\n",
		level: lint.Error,
		says:  "Raw_Log_Key: is missing",
	},
	{
		name:  "no host",
		more:  "[OUTPUT]\n    Name tcp\n    Match *\n    Retry_Limit no_limits\n    format json_lines\n",
		level: lint.Warning,
		says:  "sends to 127.0.0.1",
	},

	{
		name:    "filter key",
		more:    "    alias a\n[FILTER]\n    Name grep\n    Match *\n    Rejex a b\n",
		refused: true,
		level:   lint.Error,
		says:    "is not a key of the filter grep",
	},
	{
		name:  "filter grep",
		more:  "    alias a\n[FILTER]\n    Name grep\n    Match *\n    Exclude a b\n",
		level: lint.Warning,
		says:  "they never reach the SIEM",
	},
	{
		name:  "filter throttle",
		more:  "    alias a\n[FILTER]\n    Name throttle\n    Match *\n",
		level: lint.Error,
		says:  "a burst of alerts is lost",
	},
	{name: "filter of others", more: "    alias a\n[FILTER]\n    Name throttle\n    Match x\n"},
	{
		name:    "filter unknown",
		more:    "    alias a\n[FILTER]\n    Name gerp\n    Match *\n",
		refused: true,
		level:   lint.Error,
		says:    "did you mean grep?",
	},
	{
		name:  "match regex",
		more:  strings.Replace(other, "Match *", "Match_Regex one$", 1) + "stdout\n",
		level: lint.Error,
		says:  "reaches no output",
	},
	{
		name:    "another input's key",
		more:    "    alias a\n[INPUT]\n    Name cpu\n    Tag cpu\n    Intervall_Sec 5\n",
		refused: true,
		level:   lint.Error,
		says:    "did you mean interval_sec?",
	},

	{
		name:  "host an address",
		more:  strings.Replace(splunk, "127.0.0.1", "https://hec.invalid", 1) + "    Splunk_Token x\n",
		level: lint.Error,
		says:  "is not a host",
	},
	{
		name:  "port a word",
		more:  strings.Replace(splunk, "19611", "https", 1) + "    Splunk_Token x\n",
		level: lint.Error,
		says:  "is not a port",
	},
	{
		name:  "http whole address",
		more:  other + "http\n    format json\n    uri http://127.0.0.1/x\n",
		level: lint.Error,
		says:  "is more than a path",
	},
	{
		name:    "parser without format",
		service: "parsers_file DIR/bad-parsers.conf",
		refused: true,
		level:   lint.Error,
		says:    "Format: is missing in a parser",
	},
	{
		name:    "chunks deleted",
		service: "storage.delete_irrecoverable_chunks on",
		level:   lint.Warning,
		says:    "deletes chunks",
	},
	{
		name: "http server",
		more: "    alias a\n[OUTPUT]\n    Name prometheus_exporter\n    Match metrics\n    Port 19699\n    http2 off\n",
	},
	{
		name:  "http aws key",
		more:  other + "http\n    format json\n    aws_region x\n",
		level: lint.Note,
		says:  "status 4xx",
	},
	{
		name:  "filter takes mssp",
		more:  arcsight + "[FILTER]\n    Name record_modifier\n    Match *\n    Remove_key mssp\n",
		level: lint.Error,
		says:  "removes the key mssp",
	},
	{
		name:  "filter takes mssp of ocsf",
		input: "format ocsf",
		more:  "    alias a\n[FILTER]\n    Name record_modifier\n    Match *\n    Remove_key mssp\n",
	},
	{
		name:  "filter takes cef",
		input: "format cef",
		more:  arcsight + "[FILTER]\n    Name modify\n    Match *\n    Remove cef\n",
		level: lint.Error,
		says:  "removes the key cef",
	},
	{
		name:  "filter allows few",
		more:  "    alias a\n[FILTER]\n    Name record_modifier\n    Match *\n    Allowlist_key title\n",
		level: lint.Warning,
		says:  "Allowlist_key mssp",
	},
	{name: "filter adds", more: "    alias a\n[FILTER]\n    Name modify\n    Match *\n    Add a b\n"},
	{
		name:  "tls off of an input",
		input: "tls off",
		level: lint.Warning,
		says:  "has no effect",
	},
	{
		name:    "unset token",
		more:    splunk + "    Splunk_Token ${NOT_SET_ANYWHERE}\n",
		refused: true,
		level:   lint.Error,
		says:    "NOT_SET_ANYWHERE is not set here",
	},
	{
		name:    "filter without match",
		more:    "    alias a\n[FILTER]\n    Name modify\n    Add a b\n",
		refused: true,
		level:   lint.Error,
		says:    "Match: is missing",
	},
	{
		name:    "lua without script",
		more:    "    alias a\n[FILTER]\n    Name lua\n    Match *\n    script nowhere.lua\n    call f\n",
		refused: true,
		level:   lint.Error,
		says:    "nowhere.lua",
	},
	{
		name:    "negative flush",
		service: "flush -1",
		refused: true,
		level:   lint.Error,
		says:    "above 0",
	},
	{name: "alias of another", more: "    alias same\n" + other + "stdout\n    alias same\n"},
	{
		name:    "log level in a variable",
		service: "log_level ${NOT_SET_ANYWHERE}",
		refused: true,
		level:   lint.Error,
		says:    "log_level",
	},
	{
		name:    "empty flush",
		service: "flush ${NOT_SET_ANYWHERE}",
		refused: true,
		level:   lint.Error,
		says:    "flush",
	},
	{
		name:    "HTTP port",
		service: "http_server on\n    http_port abc",
		refused: true,
		level:   lint.Error,
		says:    "is not a port",
	},
	{
		name:    "coroutine stack",
		service: "coro_stack_size 1",
		refused: true,
		level:   lint.Error,
		says:    "is too small",
	},
	{
		name:    "empty storage path",
		service: "storage.path ${NOT_SET_ANYWHERE}",
		refused: true,
		level:   lint.Error,
		says:    "storage.path",
	},
}

// text returns the configuration of a case; ours is the section of this input, or of
// one that any Fluent Bit has.
func (c odd) text(ours string) string {
	line := func(s string) string {
		if s == "" {
			return ""
		}

		return "    " + s + "\n"
	}

	out := "[OUTPUT]\n    Name stdout\n    Match *\n    Retry_Limit no_limits\n"
	if strings.HasPrefix(c.more, "[OUTPUT]") {
		out = ""
	}

	more := c.more
	if more != "" && !strings.HasSuffix(more, "\n") {
		more += "\n"
	}

	storage := "    storage.type filesystem\n"
	if strings.Contains(c.service, "storage.inherit") {
		storage = ""
	}

	return "[SERVICE]\n    Flush 1\n    storage.path DIR/chunks\n" + line(c.service) +
		"[INPUT]\n    Tag defender.one\n    Threaded Off\n" + storage + ours + line(c.input) + out + more
}

func TestAFileBelowAVariableThatIsNotSetNamesIt(t *testing.T) {
	dir, fill := place(t)
	path := write(t, filepath.Join(dir, "fluent-bit.conf"), fill("[INPUT]\n    Name defender\n    Threaded Off\n"+
		"    client_secret_file ${NOT_SET_ANYWHERE}/defender.client_secret\n"), 0o600)

	for _, f := range look(t, path).Findings {
		if strings.Contains(f.Problem, "/defender.client_secret") {
			if !strings.Contains(f.Problem, "NOT_SET_ANYWHERE is not set here") ||
				!strings.Contains(f.Remedy, "Fluent Bit's environment") {
				t.Errorf("does not name the variable: %v", f)
			}

			return
		}
	}

	t.Error("no finding names the file")
}

// In YAML what a section lacks is reported in the line of its first key.
func TestAVariableThatIsNotSetChangesNoOtherRemedy(t *testing.T) {
	dir, fill := place(t)
	path := write(t, filepath.Join(dir, "fluent-bit.yaml"), fill("pipeline:\n  inputs:\n"+
		"    - tenant_name: ${NOT_SET_ANYWHERE}\n      name: defender\n      threaded: off\n"+
		"      tenant_id: 99999999-8888-7777-6666-555555555555\n"), 0o600)

	lacking, unset := 0, 0

	for _, f := range look(t, path).Findings {
		names := strings.Contains(f.Problem, "NOT_SET_ANYWHERE")

		switch {
		case f.Key == "client_id" && f.Line == 3:
			lacking++

			if names || strings.Contains(f.Remedy, "environment") {
				t.Errorf("the remedy is another one's: %v", f)
			}
		case names && f.Key == "tenant_name":
			unset++
		}
	}

	if lacking != 1 || unset != 1 {
		t.Errorf("%d findings about client_id, %d about the variable:\n%v", lacking, unset, look(t, path).Findings)
	}
}

func TestCheckJudgesOddConfigurations(t *testing.T) {
	for _, c := range odds {
		t.Run(c.name, func(t *testing.T) {
			dir, fill := place(t)
			ours := "    Name defender\n    tenant_id one.example\n    tenant_name one\n    client_id " +
				"11111111-2222-4333-8444-555555555555\n" +
				"    client_secret_file SECRET\n    data_dir DATA\n"
			path := write(t, filepath.Join(dir, "fluent-bit.conf"), fill(c.text(ours)), 0o600)
			findings := look(t, path).Findings

			found := c.says == ""
			for _, f := range findings {
				if c.says == "" {
					t.Errorf("unexpected: %v", f)
				}

				if f.Level == lint.Error && !c.refused && c.level != lint.Error {
					t.Errorf("Fluent Bit starts and nothing is lost, but: %v", f)
				}

				found = found ||
					f.Level == c.level && strings.Contains(f.String(), c.says) && f.Remedy != "" && f.Line > 0
			}

			if !found {
				t.Errorf("no %s says %q: %v", c.level, c.says, findings)
			}
		})
	}
}

// TestFluentBitStartsWhatIsRecorded runs a real Fluent Bit, where there is one, with an
// input that every Fluent Bit has in place of ours.
func TestFluentBitStartsWhatIsRecorded(t *testing.T) {
	bin := setup.FluentBit(t)
	for _, c := range odds {
		t.Run(c.name, func(t *testing.T) {
			dir, fill := place(t)

			if strings.HasPrefix(c.input, "format ") {
				c.input = "" // is ours
			}

			path := write(t, filepath.Join(dir, "fluent-bit.conf"), fill(c.text("    Name dummy\n")), 0o600)
			if out, started := start(t, bin, path); started == c.refused {
				t.Errorf("started: %v\n%s", started, out)
			}
		})
	}
}

// start reports whether Fluent Bit comes so far that its pipeline runs.
func start(t *testing.T, bin, path string) (out string, started bool) {
	t.Helper()

	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()

	cmd := exec.CommandContext(ctx, bin, "-v", "-c", path)
	cmd.Dir = filepath.Dir(path)
	r, w := io.Pipe()

	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}

	ended := make(chan struct{})

	go func() {
		_ = cmd.Wait() // it was killed, or refused the configuration

		w.Close()
		close(ended)
	}()

	var all strings.Builder
	for lines := bufio.NewScanner(r); lines.Scan(); {
		all.WriteString(lines.Text() + "\n")

		if !started && strings.Contains(lines.Text(), "stream processor started") {
			started = true

			cancel()
		}
	}

	<-ended

	return all.String(), started
}
