package simulator

import (
	"net/http"
	"strings"
)

// refuse answers with the API's own form of an error. An empty code or message becomes
// the usual one for the status.
func (x *exchange) refuse(status int, code, message string) {
	r := x.random()
	if code == "" {
		code = usualCode(x.api, status)
	}

	if message == "" {
		message = http.StatusText(status)
	}

	o := object{}
	o.open()

	switch {
	case x.api == SIEM: // not documented; this is the form of its ASP.NET relatives (windows-itpro-docs issue 799)
		if status == http.StatusUnauthorized && code == "" {
			message = "Authorization has been denied for this request."
		}

		o.text("Message", message)
	case isGraph(x.api): // concepts/errors.md; the date has no zone
		o.nested("error", func(o *object) {
			o.text("code", code)
			o.text("message", message)
			o.nested("innerError", func(o *object) {
				id := guid(r)
				x.header.Set("request-id", id)
				o.text("date", x.now.UTC().Format("2006-01-02T15:04:05"))
				o.text("request-id", id)
				o.text("client-request-id", first(x.r.Header.Get("client-request-id"), id))
			})
		})
	case x.api == Partner: // partner-center, "REST API error codes"
		o.raw("code", code)
		o.text("description", message)
		o.raw("data", "[]")
		o.text("source", "PartnerFD")
	case x.api == Login:
		o.text("error", code)
		o.text("error_description", message)
	default: // defender-endpoint/api/common-errors.md
		o.nested("error", func(o *object) {
			o.text("code", code)
			o.text("message", message)
			o.text("target", guid(r))
		})
	}

	o.close()

	if status == http.StatusUnauthorized {
		x.header.Set(
			"WWW-Authenticate",
			`Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize", `+
				`error="invalid_token"`,
		)
	}

	x.json(status, o.b)
}

func first(list ...string) string {
	for _, s := range list {
		if s != "" {
			return s
		}
	}

	return ""
}

func usualCode(api string, status int) string {
	if api == Partner {
		return itoa(status)
	}

	switch status {
	case http.StatusUnauthorized:
		if isGraph(api) {
			return "InvalidAuthenticationToken"
		}

		if api == SIEM {
			return ""
		}

		return "Unauthorized"
	case http.StatusTooManyRequests:
		if api == Login {
			return "temporarily_unavailable"
		}

		return "TooManyRequests"
	case http.StatusBadRequest:
		return "BadRequest"
	case http.StatusForbidden:
		return "Forbidden"
	case http.StatusNotFound:
		return "NotFound"
	}

	return strings.ReplaceAll(http.StatusText(status), " ", "")
}

// allowGet refuses every method but GET, as none of the APIs' lists has another.
func (x *exchange) allowGet() bool {
	if x.r.Method == http.MethodGet {
		return true
	}

	x.header.Set("Allow", http.MethodGet)
	x.refuse(http.StatusMethodNotAllowed, "", "The requested resource does not support http method '"+x.r.Method+"'.")

	return false
}
