package lint

import (
	"net"
	"slices"
	"strings"

	"fluent-bit-defender/internal/config/fluentbit"
	"fluent-bit-defender/internal/config/plain"
)

// networked are the outputs that send alerts or tokens to a host that the section names.
var networked = []string{
	"splunk",
	"http",
	"es",
	"opensearch",
	"tcp",
	"syslog",
	"forward",
	"loki",
	"gelf",
	"websocket",
	"opentelemetry",
	"kafka-rest",
	"influxdb",
}

// connection checks the connection of an output: whether it names a host, encrypts, and
// checks the server's certificate.
func (l *linter) connection(sec fluentbit.Section) {
	name, host := strings.ToLower(sec.Get("name")), sec.Get("host")
	if !slices.Contains(networked, name) || elsewhere(sec) {
		return
	}

	switch {
	case host == "":
		l.at(Warning, sec, "Host", "is not set: Fluent Bit sends to 127.0.0.1",
			"write: Host and the name of the receiver")
	case !isHost(host):
		l.at(Error, sec, "Host", plain.Quoted(host)+" is not a host: Fluent Bit cannot connect, and tries for ever",
			"write: Host and the name alone; the port goes to Port, https is: tls On")
	case !isLoopback(host):
		l.encryption(sec, name, host)
	}
}

// elsewhere reports whether a section names its receiver by another key than Host.
func elsewhere(sec fluentbit.Section) bool {
	return sec.Get("upstream") != "" || sec.Get("cloud_id") != "" || sec.Get("unix_path") != ""
}

// isHost reports whether a text may be the name or address of a host.
func isHost(host string) bool {
	if strings.ContainsAny(host, "/ ") {
		return false
	}

	return !strings.Contains(host, ":") || net.ParseIP(strings.Trim(host, "[]")) != nil
}

// encryption checks whether an output that crosses the network encrypts.
func (l *linter) encryption(sec fluentbit.Section, name, host string) {
	mode := strings.ToLower(sec.Get("mode"))
	encrypted := on(sec.Get("tls")) || name == "syslog" && (mode == "tls" || mode == "dtls")

	switch {
	case name == "syslog" && (mode == "" || mode == "udp"): // syslog warns of udp itself
	case !encrypted:
		remedy := "write: tls On"
		if name == "syslog" {
			remedy = "write: Mode tls"
		}

		l.at(Warning, sec, "tls", "is not on: alerts and passwords cross the network in clear text", remedy)
	case off(sec.Get("tls.verify")):
		l.at(Warning, sec, "tls.verify", "is off: another machine on the way can pretend to be "+plain.Text(host, 128),
			"remove it; name the authority with tls.ca_file")
	}
}

func isLoopback(host string) bool {
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}
