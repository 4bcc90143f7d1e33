package simulator

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"strings"
)

// consentPage asks the person for a decision.
func (x *exchange) consentPage(q *authRequest) {
	x.decisionPage(
		"Permissions requested",
		fmt.Sprintf(
			"<p id=\"app\">Application %s</p><p id=\"account\">%s signs in to %s</p><p id=\"scope\">%s</p>",
			html.EscapeString(q.app.ClientID),
			html.EscapeString(q.tenant.User),
			html.EscapeString(first(q.tenant.Name, q.tenant.Domain, q.tenant.ID)),
			html.EscapeString(first(q.query.Get("scope"), q.query.Get("resource"))),
		),
		"",
	)
}

// sendBack sends the answer to the application, in the mode that it asked for. A reply
// address without a path gets a slash.
func (x *exchange) sendBack(redirect, mode string, values url.Values) {
	u, err := url.Parse(redirect)
	if err != nil {
		x.signInPage(refused(50011))
		return
	}

	if mode == "form_post" { // OAuth 2.0 Form Post Response Mode
		var b strings.Builder
		fmt.Fprintf(
			&b,
			"<!DOCTYPE html><html><body onload=\"document.forms[0].submit()\"><form method=\"post\" action=\"%s\">",
			html.EscapeString(redirect),
		)

		for _, k := range sortedKeys(values) {
			fmt.Fprintf(
				&b,
				"<input type=\"hidden\" name=\"%s\" value=\"%s\">",
				html.EscapeString(k),
				html.EscapeString(values.Get(k)),
			)
		}

		x.html(http.StatusOK, b.String()+"<noscript><button>Continue</button></noscript></form></body></html>")

		return
	}

	if u.Path == "" {
		u.Path = "/"
	}

	target := u.String()
	switch {
	case mode == "fragment":
		target += "#" + values.Encode()
	case u.RawQuery != "":
		target += "&" + values.Encode()
	default:
		target += "?" + values.Encode()
	}

	x.header.Set("Location", target)
	x.header.Set("Cache-Control", "no-store")
	x.html(http.StatusFound, "")
}

// signInPage shows an error that must not be sent to the reply address.
func (x *exchange) signInPage(r *refusal, fill ...string) {
	text := strings.NewReplacer(fill...).Replace(r.text)
	x.html(
		http.StatusBadRequest,
		fmt.Sprintf(
			"<!DOCTYPE html><html><head><title>Sign in to your account</title></head><body>"+
				"<h1>Sorry, but we're having trouble signing you in.</h1>"+
				"<p id=\"error\">AADSTS%d: %s</p></body></html>",
			r.code(),
			html.EscapeString(text),
		),
	)
	x.sim.stats.count(func(c *Stats) { c.Refused[r.code()]++ })
}

// decisionPage has two buttons, #accept and #decline, which post the decision to the
// page's own address.
func (x *exchange) decisionPage(title, text, fields string) {
	x.html(
		http.StatusOK,
		fmt.Sprintf("<!DOCTYPE html><html><head><title>%s</title></head><body><h1>%s</h1>%s<form method=\"post\">%s"+
			"<button id=\"decline\" name=\"decision\" value=\"decline\">Cancel</button> "+
			"<button id=\"accept\" name=\"decision\" value=\"accept\">Accept</button>"+
			"</form></body></html>", title, title, text, fields),
	)
}
