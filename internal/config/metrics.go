package config

import (
	"net"
	"net/netip"
	"strings"
)

// metrics reads the keys of the metrics server.
func (r *reader) metrics(in *Input) {
	in.MetricsListen = r.listen("metrics_listen")

	in.MetricsTokenFile = r.path("metrics_token_file")
	if in.MetricsTokenFile != "" {
		r.secretFile("metrics_token_file", r.raw("metrics_token_file"))
	}

	in.MetricsHosts = r.hosts("metrics_hosts")

	listen := r.raw("metrics_listen")
	if listen.text == "" {
		for _, key := range []string{"metrics_token_file", "metrics_hosts"} {
			if v := r.raw(key); v.text != "" {
				r.fault(
					key,
					v,
					"has no effect without metrics_listen",
					"add metrics_listen 127.0.0.1:9180, or remove "+key,
				)
			}
		}

		return
	}

	if in.MetricsListen != "" && in.MetricsTokenFile == "" && !listensOnLoopback(in.MetricsListen) {
		r.warning("metrics_listen", listen,
			shown(in.MetricsListen)+" can be reached from other machines, and nobody has to sign in",
			"listen on 127.0.0.1, or set metrics_token_file")
	}
}

// listensOnLoopback reports whether only this machine reaches an address to listen on.
// An empty host stands for all addresses; a name other than localhost may be anything.
func listensOnLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}

	if strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") {
		return true
	}

	ip, err := netip.ParseAddr(host)

	return err == nil && ip.Unmap().IsLoopback()
}

// hosts reads a list of host names.
func (r *reader) hosts(key string) []string {
	text, v := r.text(key, 4096)

	var names []string

	for _, name := range strings.FieldsFunc(text, func(c rune) bool { return c == ',' || c == ' ' }) {
		name = strings.TrimSuffix(strings.ToLower(name), ".")
		if !hostName.MatchString(name) {
			r.refuse(option(key), v, "is not a list of host names",
				"write names without scheme and port, separated by commas: collector.example,siem.example")

			return nil
		}

		names = append(names, name)
	}

	return names
}
