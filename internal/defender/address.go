package defender

import (
	"log/slog"
	"net/url"
	"strconv"
	"strings"

	"fluent-bit-defender/internal/netfault"
)

// address returns the address of a query. Dates have a zone and no quotes (trap 14 in
// doc.go), every option has its $ (trap 15).
func (r *odata) address(q query) string {
	if q.link != "" {
		return q.link
	}

	filter := r.field + " ge " + q.from.Text()
	if q.to != 0 {
		filter += " and " + r.field + " lt " + q.to.Text()
	}

	if r.client.Filter != "" {
		filter = "(" + filter + ") and (" + r.client.Filter + ")"
	}

	var b strings.Builder
	b.WriteString(r.client.BaseURL + r.client.Path + "?$filter=" + escape(filter))

	if q.ordered {
		b.WriteString("&$orderby=" + escape(r.field+" asc"))
	}

	b.WriteString("&$top=" + strconv.Itoa(q.top))

	if q.skip > 0 {
		b.WriteString("&$skip=" + strconv.Itoa(q.skip))
	}

	if r.facts.Expand != "" && !q.plain {
		b.WriteString("&$expand=" + r.facts.Expand)
	}

	return b.String()
}

func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// longestLink bounds a link: those of the services have a few hundred bytes.
const longestLink = 16 << 10

// checkLink judges the link of a page, which q asked for. more says that the service has
// more, link where, if the link may be used. It must lead to the configured host. Its
// options must have kept their $, or the service would ignore them and list everything,
// for ever (trap 10 in doc.go). It must not lead to the same page.
func (r *odata) checkLink(address string, q query) (more bool, link string) {
	if address == "" {
		return false, ""
	}

	host := r.client.host
	u, err := url.Parse(address)

	base, baseErr := url.Parse(r.client.BaseURL)
	switch {
	case len(address) > longestLink, err != nil, baseErr != nil:
		r.logOnce("odd link", slog.LevelWarn,
			host+" gives a link that is not an address; alerts are read without links")

		return true, ""
	case u.Scheme != base.Scheme, !sameHost(u, base), u.User != nil:
		to := netfault.Host(u)
		if netfault.Shares(to, r.client.token.Reveal()) {
			to = "another host"
		}

		r.logOnce("foreign link", slog.LevelError,
			host+" links to "+to+", which is not followed: a token is sent to the configured host only")

		return true, ""
	case lostDollar(u.Query()):
		r.logOnce("lost $", slog.LevelWarn,
			host+" gives links whose options have lost their $; alerts are read without links")

		return true, ""
	case address == q.link, sameOptions(address, r.address(q)):
		r.logOnce("repeated link", slog.LevelWarn, host+" links a page to itself; alerts are read without links")

		return true, ""
	}

	return true, address
}

// sameHost reports whether two addresses of one scheme lead to the same port of the same
// host. The default port of the scheme may be left out.
func sameHost(u, base *url.URL) bool {
	port := func(u *url.URL) string {
		switch {
		case u.Port() != "":
			return u.Port()
		case u.Scheme == "https":
			return "443"
		}

		return "80"
	}

	return strings.EqualFold(u.Hostname(), base.Hostname()) && port(u) == port(base)
}

// lostDollar reports whether the options of a link have lost their $, or the filter is
// gone.
func lostDollar(options url.Values) bool {
	for _, name := range []string{"filter", "top", "orderby", "expand", "skip", "skiptoken"} {
		if options.Has(name) {
			return true
		}
	}

	return !options.Has("$skiptoken") && !options.Has("$filter")
}

// sameOptions reports whether two addresses ask for the same, however they are escaped.
func sameOptions(a, b string) bool {
	x, err1 := url.Parse(a)
	y, err2 := url.Parse(b)

	return err1 == nil && err2 == nil && x.Path == y.Path && x.Query().Encode() == y.Query().Encode()
}
