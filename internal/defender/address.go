package defender

import (
	"log/slog"
	"net/url"
	"strconv"
	"strings"

	"fluent-bit-defender/internal/netfault"
)

// address returns the address of a query. Dates have a zone and no quotes (trap 14 in
// doc.go), and every option has its $ (trap 15).
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

// escape escapes a value of a query, with %20 for a blank.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// longestLink bounds a link: those of the services have a few hundred bytes.
const longestLink = 16 << 10

// checkLink checks address, the link of the page that q asked for. more says that there
// is a link, so that the service has more. The result link is empty if the link must not
// be used: it has to lead to the configured host, and not to the same page, and its
// options must have kept their $, or the service would ignore them and list everything,
// for ever (trap 10 in doc.go).
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
			host+" sends a link that is not an address; alerts are read without links")

		return true, ""
	case u.User != nil, !netfault.SameServer(u, base):
		to := netfault.Host(u)
		if netfault.Shares(to, r.client.token.Reveal()) {
			to = "another host"
		}

		r.logOnce("foreign link", slog.LevelError,
			host+" links to "+to+", which is not followed: a token is sent to the configured host only")

		return true, ""
	case lostDollar(u.Query()):
		r.logOnce("lost $", slog.LevelWarn,
			host+" sends links whose options have lost their $; alerts are read without links")

		return true, ""
	case address == q.link, sameOptions(address, r.address(q)):
		r.logOnce("repeated link", slog.LevelWarn, host+" links a page to itself; alerts are read without links")

		return true, ""
	}

	return true, address
}

// lostDollar reports whether the options of a link have lost their $, or the link has no
// filter.
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
