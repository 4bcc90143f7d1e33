package lint

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"fluent-bit-defender/internal/config/fluentbit"
	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/record"
)

// outputs are the outputs of Fluent Bit that are checked, each for whether it can send
// what reaches it, and sends it safely.
var outputs = map[string]func(l *linter, sec fluentbit.Section, mine []customer){
	"syslog": (*linter).syslog,
	"splunk": (*linter).splunk,
	"http":   withoutCustomers((*linter).http),
	"tcp":    (*linter).tcp,
	"udp": func(l *linter, sec fluentbit.Section, _ []customer) {
		l.at(Warning, sec, "Name", "udp loses datagrams, and nobody learns whether one arrived",
			"use the output tcp with tls on")
	},
	"kafka":   (*linter).kafka,
	"s3":      (*linter).s3,
	"forward": withoutCustomers((*linter).forward),
	"file":    withoutCustomers((*linter).toFile),
	"gelf":    withoutCustomers((*linter).gelf),
	"stdout": func(l *linter, sec fluentbit.Section, _ []customer) {
		l.format(sec, jsonFormats)
	},
	"es": withoutCustomers(func(l *linter, sec fluentbit.Section) {
		l.at(Note, sec, "Name", "es takes an answer as done when one document of a request was stored, and "+
			"forgets the documents that were refused beside it (429, a mapping that does not fit)",
			"use the output opensearch, which Elasticsearch accepts too: it sends them again")
		l.elasticsearch(sec)
	}),
	"opensearch": withoutCustomers((*linter).elasticsearch),
	"exit": func(l *linter, sec fluentbit.Section, _ []customer) {
		l.at(Error, sec, "Name", "exit ends Fluent Bit after a few records", "remove this output")
	},
}

// withoutCustomers adapts a check that does not depend on the customers.
func withoutCustomers(check func(*linter, fluentbit.Section)) func(*linter, fluentbit.Section, []customer) {
	return func(l *linter, sec fluentbit.Section, _ []customer) { check(l, sec) }
}

// fits checks whether an output can send what reaches it, and sends it safely.
func (l *linter) fits(sec fluentbit.Section, mine []customer) {
	if check := outputs[strings.ToLower(sec.Get("name"))]; check != nil {
		check(l, sec, mine)
	}

	if p, ok := sec.Prop("upstream"); ok {
		l.exists(sec, p)
	}

	if p, ok := sec.Prop("port"); ok && !isPort(p.Value) && len(p.Unset) == 0 {
		l.at(Error, sec, "Port", plain.Quoted(p.Value)+" is not a port", "write a number from 1 to 65535")
	}

	l.connection(sec)
}

// isPort reports whether Fluent Bit reads a port from a text.
func isPort(v string) bool {
	n := atoi(v)

	return n > 0 && n <= 65535
}

// jsonFormats are those of flb_pack_to_json_format_type.
var jsonFormats = []string{"msgpack", "json", "json_stream", "json_lines", "otlp_json", "otlp_json_pretty"}

// format reports a format that Fluent Bit does not know. It says so at start, but starts.
func (l *linter) format(sec fluentbit.Section, values []string) (wrong bool) {
	v := sec.Get("format")
	if v == "" || slices.Contains(values, strings.ToLower(v)) {
		return false
	}

	l.at(Error, sec, "format", plain.Quoted(v)+" is not known: Fluent Bit sends something else", "use "+
		strings.Join(values, ", "))

	return true
}

// choice reports a value that is none of those that Fluent Bit takes; an empty one is
// none.
func (l *linter) choice(sec fluentbit.Section, key string, values ...string) {
	v := sec.Get(key)
	if v == "" || slices.Contains(values, strings.ToLower(v)) {
		return
	}

	l.at(Error, sec, key, plain.Quoted(v)+" is not known"+refuses, "use "+strings.Join(values, ", "))
}

// lacks names the first customer whose format does not contain a wanted part. Routes
// pick records by what is in them: of customers with routes one is named only if all of
// them lack it.
func lacks(mine []customer, wanted string) string {
	routed, all := "", true

	for _, c := range mine {
		if c.format == "" {
			continue
		}

		has := slices.Contains(strings.Split(c.format, "+"), wanted)

		who := fmt.Sprintf("the format of %s is %s", plain.Text(c.name, 64), c.format)
		switch {
		case !has && !c.routed:
			return who
		case !has:
			routed = who
		case c.routed:
			all = false
		}
	}

	if !all {
		return ""
	}

	return routed
}

// formatOf says which format puts a whole alert into a key: cef and raw do.
var formatOf = record.TextKeys()

// textOnly reports whether the records have no keys but those of formatOf, beside mssp.
func (c customer) textOnly() bool {
	f, err := record.ParseFormat(c.format)
	return err == nil && f.TextOnly()
}

// field checks the name of the only key of the records that an output sends.
func (l *linter) field(sec fluentbit.Section, key, name, otherwise string, mine []customer) {
	remedy := "write: " + key + " " + strings.Replace(sec.Get(key), name, "cef", 1) +
		", and in the section of the input: format cef"
	format, known := formatOf[name]

	switch {
	case known:
		if who := lacks(mine, format); who != "" {
			remedy = "write in the section of the input: format " + format
			l.at(
				Error,
				sec,
				key,
				fmt.Sprintf("the records have no key %s, since %s: %s", name, who, otherwise),
				remedy,
			)
		}
	case formatOf[strings.ToLower(name)] != "":
		l.at(Error, sec, key, fmt.Sprintf("the records have no key %s: %s", plain.Quoted(name), otherwise),
			"write it in small letters: "+strings.ToLower(name))
	case slices.ContainsFunc(mine, customer.textOnly):
		l.at(Error, sec, key, fmt.Sprintf("the records have no key %s, only %s: %s", plain.Quoted(name),
			strings.Join(slices.Sorted(maps.Keys(formatOf)), " or "), otherwise), remedy)
	case name == "mssp":
		l.at(Error, sec, key, "the key mssp holds no text: "+otherwise, remedy)
	default:
		l.at(Warning, sec, key, fmt.Sprintf("sends only what the alerts have under %s, and nothing of an alert "+
			"without it", plain.Quoted(name)), remedy)
	}
}

// splunk checks an output to Splunk's HTTP Event Collector.
func (l *linter) splunk(sec fluentbit.Section, mine []customer) {
	switch {
	case sec.Get("splunk_token") == "" && sec.Get("http_user") == "":
		l.at(Error, sec, "Splunk_Token", "is missing"+refuses, "write: Splunk_Token ${SPLUNK_TOKEN}")
	case sec.Get("http_user") != "" && sec.Get("http_passwd") == "":
		l.at(Warning, sec, "HTTP_Passwd", "is missing beside HTTP_User", "write it, or use Splunk_Token")
	}

	if on(sec.Get("splunk_send_raw")) {
		l.at(Error, sec, "Splunk_Send_Raw",
			"is on: the records have no key event, so HEC answers 400 and Fluent Bit drops them",
			"remove it")
	}

	switch key := sec.Get("event_key"); {
	case key == "":
	case !strings.HasPrefix(key, "$"):
		l.at(Error, sec, "Event_Key", plain.Quoted(key)+" does not begin with a dollar sign"+refuses,
			"write: Event_Key $"+key)
	default:
		name := strings.Trim(strings.TrimPrefix(key, "$"), "'\"[]")
		l.field(sec, "Event_Key", name, "Splunk gets the whole record in its place", mine)
	}

	l.givesUp(sec, "HEC refuses (400, 401, 403, 413: a wrong token or index, an event that is too large)")
}

// givesUp notes that Fluent Bit drops a chunk after some answers of the receiver,
// whatever Retry_Limit says, and how to keep a copy. when says which answers.
func (l *linter) givesUp(sec fluentbit.Section, when string) {
	if on(l.file.Service().Get("storage.keep.rejected")) {
		return
	}

	l.at(Note, sec, "Name", "Fluent Bit drops a chunk of alerts that "+when+", and tries it no more",
		"write in [SERVICE]: storage.keep.rejected on, so that it keeps a copy")
}

func (l *linter) http(sec fluentbit.Section) {
	if l.format(sec, append([]string{"gelf"}, jsonFormats...)) {
		return
	}

	if strings.EqualFold(sec.Get("format"), "gelf") {
		l.gelf(sec)
	}

	l.choice(sec, "http_method", "post", "put")

	if f := strings.ToLower(sec.Get("format")); f == "" || f == "msgpack" {
		l.at(Warning, sec, "Format", "is msgpack: the receiver gets MessagePack, which few understand",
			"write: Format json")
	}

	headers, body := sec.Get("headers_key"), sec.Get("body_key")
	if (headers == "") != (body == "") {
		l.at(Error, sec, "Body_Key", "and Headers_Key only work together"+refuses, "write both, or none")
	}

	if uri := sec.Get("uri"); strings.Contains(uri, "://") {
		l.at(Error, sec, "URI", plain.Quoted(uri)+" is more than a path, and the server will not know it",
			"write Host, Port and tls, and the path alone here")
	}

	l.givesUp(sec, "the server refuses with a status 4xx other than 408 and 429")
}

func (l *linter) tcp(sec fluentbit.Section, mine []customer) {
	if l.format(sec, jsonFormats[:4]) {
		return
	}

	key := sec.Get("raw_message_key")
	switch {
	case key == "":
	case !strings.HasPrefix(key, "$"):
		l.at(Error, sec, "Raw_Message_Key", "does not begin with a dollar sign: the receiver gets the word "+
			plain.Quoted(key)+
			" for every alert", "write: Raw_Message_Key $"+key)

		return
	default:
		l.field(sec, "Raw_Message_Key", strings.TrimPrefix(key, "$"), "the receiver gets nothing of them", mine)
		return
	}

	if f := strings.ToLower(sec.Get("format")); f == "" || f == "msgpack" {
		l.at(Warning, sec, "Format", "is msgpack: the receiver gets MessagePack, which few understand",
			"write: Format json_lines")
	}
}

func (l *linter) kafka(sec fluentbit.Section, mine []customer) {
	l.choice(sec, "format", "json", "msgpack", "gelf", "avro", "raw")

	if !strings.EqualFold(sec.Get("format"), "raw") {
		return
	}

	switch key := sec.Get("raw_log_key"); {
	case key == "":
		l.at(Error, sec, "Raw_Log_Key", "is missing with the format raw: every record is dropped",
			"write: Raw_Log_Key cef")
	case strings.HasPrefix(key, "$"):
		l.at(Error, sec, "Raw_Log_Key", plain.Quoted(key)+" is taken for the name of a key: every record is dropped",
			"write it without the dollar sign: "+strings.TrimPrefix(key, "$"))
	default:
		l.field(sec, "Raw_Log_Key", key, "they are dropped", mine)
	}
}

func (l *linter) s3(sec fluentbit.Section, mine []customer) {
	if sec.Get("bucket") == "" {
		l.at(Error, sec, "bucket", "is missing"+refuses, "write: bucket and the name of the bucket")
	}

	if key := sec.Get("log_key"); key != "" {
		l.field(sec, "log_key", key, "they are left out", mine)
	}
}

// toFile checks an output to files. Fluent Bit drops the records if the directory is
// missing.
func (l *linter) toFile(sec fluentbit.Section) {
	l.choice(sec, "format", "plain", "csv", "ltsv", "template", "msgpack")

	dir := sec.Get("path")
	if dir == "" || on(sec.Get("mkdir")) || strings.ContainsAny(dir, "$%") {
		return
	}

	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		l.at(Error, sec, "Path", plain.Quoted(dir)+" is not a directory here: Fluent Bit drops what it cannot write",
			"create it, or write: Mkdir On")
	}
}

// gelf checks an output in the GELF format, in which a record without a short message
// cannot be sent.
func (l *linter) gelf(sec fluentbit.Section) {
	if sec.Get("gelf_short_message_key") == "" {
		l.at(Error, sec, "Gelf_Short_Message_Key",
			"is missing: alerts have no key short_message, and Fluent Bit drops them",
			"write: Gelf_Short_Message_Key title")
	}
}

func (l *linter) forward(sec fluentbit.Section) {
	if !on(sec.Get("require_ack_response")) {
		l.at(Warning, sec, "Require_ack_response", "is not on: what was sent when the receiver ended is lost",
			"write: Require_ack_response On")
	}
}

func (l *linter) elasticsearch(sec fluentbit.Section) {
	l.choice(sec, "write_operation", "index", "create", "update", "upsert")

	op := strings.ToLower(sec.Get("write_operation"))
	if (op == "update" || op == "upsert") && sec.Get("id_key") == "" && !on(sec.Get("generate_id")) {
		l.at(Error, sec, "Write_Operation", op+" needs Id_Key or Generate_Id"+refuses, "write: Generate_Id On")
	}
}

// takesAway checks filters that remove the keys by which the records are sent or
// recognised. An OCSF event has in other keys what mssp has, and a strict receiver
// refuses mssp.
func (l *linter) takesAway(sec fluentbit.Section, mine []customer) {
	name := strings.ToLower(sec.Get("name"))
	needed := slices.ContainsFunc(mine, func(c customer) bool { return !strings.HasPrefix(c.format, "ocsf") })
	allowed, limits := []string{}, false

	for _, p := range sec.Props {
		word, _, _ := strings.Cut(p.Value, " ")
		switch key := strings.ToLower(p.Key); {
		case name == "record_modifier" && (key == "allowlist_key" || key == "whitelist_key"):
			allowed, limits = append(allowed, word), true
		case name == "record_modifier" && key == "remove_key", name == "modify" && slices.Contains(removing, key):
			if word == "mssp" && needed || formatOf[word] != "" {
				l.line(Error, sec, p, "removes the key "+word+" from the records",
					"keep the key: outputs and receivers need it")
			}
		}
	}

	if limits && needed && !slices.Contains(allowed, "mssp") {
		l.at(Warning, sec, "Name", "record_modifier with Allowlist_key removes all other keys, mssp with the tenant "+
			"and the record_id too",
			"add: Allowlist_key mssp")
	}
}

// removing are the rules of the filter modify that remove or rename a key.
var removing = []string{"remove", "rename", "hard_rename"}
