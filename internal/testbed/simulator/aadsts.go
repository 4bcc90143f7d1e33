package simulator

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// refusal is an error of the sign-in service.
type refusal struct {
	// codes are AADSTS numbers, the one in the text first to be read.
	codes []int
	err   string
	// status is the HTTP status at the token endpoint.
	status   int
	suberror string
	text     string
	claims   string
}

func (r *refusal) code() int { return r.codes[len(r.codes)-1] }

// AADSTSCodes lists the codes that the simulator can refuse with in the words of the
// service; others get a general text.
func AADSTSCodes() []int {
	list := make([]int, 0, len(aadstsTable))
	for code := range aadstsTable {
		list = append(list, code)
	}

	return list
}

// refused makes the refusal of a code; detail goes into its text.
func refused(code int, detail ...string) *refusal {
	a, ok := aadstsTable[code]
	if !ok {
		a = aadsts{"invalid_grant", 400, "", "The request was refused."}
	}

	r := &refusal{
		codes:    []int{code},
		err:      a.err,
		status:   a.status,
		suberror: a.suberror,
		text:     strings.ReplaceAll(a.text, "{detail}", strings.Join(detail, " ")),
	}
	if a.suberror == basicAction {
		r.claims = `{"access_token":{"capolids":{"essential":true,"values":["0c0c0c0c-0000-4000-8000-000000000003"]}}}`
	}

	return r
}

// description returns the error_description: text, trace id, correlation id and time,
// with CRLF between them.
func (r *refusal) description(trace, correlation string, now time.Time) string {
	return fmt.Sprintf(
		"AADSTS%d: %s\r\nTrace ID: %s\r\nCorrelation ID: %s\r\nTimestamp: %s",
		r.code(),
		r.text,
		trace,
		correlation,
		stamp(now),
	)
}

// stamp returns a time as error answers have it, with a space and Z.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

// refuseSignIn writes the error answer of the token endpoint
// (v1-protocols-oauth-code.md, v2-oauth2-auth-code-flow.md).
func (x *exchange) refuseSignIn(r *refusal, fill ...string) {
	random := x.random()

	trace, correlation := guid(random), guid(random)
	if id := x.r.Header.Get("client-request-id"); isGUID(id) {
		correlation = id
	}

	r.text = strings.NewReplacer(fill...).Replace(r.text)
	o := object{}
	o.open()
	o.text("error", r.err)
	o.text("error_description", r.description(trace, correlation, x.now))

	var codes []string
	for _, c := range r.codes {
		codes = append(codes, strconv.Itoa(c))
	}

	o.raw("error_codes", "["+strings.Join(codes, ",")+"]")
	o.text("timestamp", stamp(x.now))
	o.text("trace_id", trace)
	o.text("correlation_id", correlation)
	o.text("error_uri", "https://login.microsoftonline.com/error?code="+strconv.Itoa(r.code()))

	if r.suberror != "" {
		o.text("suberror", r.suberror)
	}

	if r.claims != "" {
		o.text("claims", r.claims)
	}

	o.close()

	x.aadsts = r.code()
	x.header.Set("x-ms-request-id", trace)
	x.header.Set("Cache-Control", "no-store, no-cache")
	x.json(r.status, o.b)
	x.sim.stats.count(func(c *Stats) { c.Refused[r.code()]++ })
}
