package simulator

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"
)

// exchange is one request and its answer. Handlers fill in the answer, which is written
// at the end, with the faults that are due.
type exchange struct {
	sim *Simulator
	api string
	// scope is what faults call the request: the API, or a part of it.
	scope string
	kind  string // what the statistics count it as
	w     http.ResponseWriter
	r     *http.Request
	now   time.Time // the servers' time

	tenant *tenant
	client string

	status  int
	header  http.Header
	body    [][]byte
	rows    []*row
	ends    []int64 // where in the body each row ends
	variant variant
	faults  []*fault
	// grantType and aadsts are those of a request to a token endpoint.
	grantType string
	aadsts    int
	// leaveChain ends the redemption of a chain of refresh tokens, once it is answered.
	leaveChain func()
}

// variant is the form of the rows in an answer.
type variant uint8

const (
	asFull variant = iota
	asShort
	asMasked
)

// appendTo adds the row's bytes to a list of pieces. makeMasked must have been called
// for masked rows.
func (r *row) appendTo(list [][]byte, v variant) [][]byte {
	switch {
	case v == asShort && r.cut > 0:
		return append(list, r.full[:r.cut], r.short)
	case v == asMasked && r.masked != nil:
		return append(list, r.masked)
	}

	return append(list, r.full)
}

// bytes returns the row in one piece, which must not be changed.
func (r *row) bytes(v variant) []byte {
	pieces := r.appendTo(nil, v)
	if len(pieces) == 1 {
		return pieces[0]
	}

	return bytes.Join(pieces, nil)
}

// makeMasked makes the masked form of rows that have one; the caller holds the tenant's
// lock.
func makeMasked(rows []*row) {
	for _, r := range rows {
		if r.mask != nil && r.masked == nil {
			r.masked = r.mask()
		}
	}
}

// exchange serves one request of an API, or of the sign-in service.
func (s *Simulator) exchange(api string, w http.ResponseWriter, r *http.Request, handle func(*exchange)) {
	x := &exchange{
		sim:        s,
		api:        api,
		scope:      scopeOf(api, r.URL.Path),
		kind:       scopeOf(api, r.URL.Path),
		w:          w,
		r:          r,
		now:        s.now(),
		status:     http.StatusOK,
		header:     http.Header{},
		leaveChain: func() {},
	}
	if api == Login {
		x.kind = loginKind(r.URL.Path)
	}

	leave := s.stats.enter(x.kind)
	defer func() {
		x.leaveChain()
		leave(x)
		s.cfg.Log(fmt.Sprintf("%s %s %s %d rows=%d", x.kind, r.Method, r.URL.Path, x.status, len(x.rows)))
	}()

	id := r.Header.Get("client-request-id")
	if id != "" && strings.EqualFold(r.Header.Get("return-client-request-id"), "true") {
		x.header.Set("client-request-id", id)
	}

	home := x.identify()
	x.early()

	if x.kind == "token" {
		defer s.leaveToken(x, s.enterToken(x, home))
	}

	if x.tenant != nil {
		defer s.stats.within(x.kind+" "+x.tenant.ID, func(n int) {
			key := x.kind + " " + x.tenant.ID
			s.stats.ConcurrentTenant[key] = max(s.stats.ConcurrentTenant[key], n)
		})()
	}

	replace, alter := s.draw(x)

	x.faults = alter
	if replace != nil {
		s.replaceAnswer(x, replace)
	} else {
		handle(x)
	}

	s.write(x)
}

// identify finds out whose request it is, without checking it. It is for the scope of
// faults and for the statistics. It reports whether the tenant is the provider's own.
func (x *exchange) identify() (home bool) {
	s := x.sim
	s.mu.Lock()
	defer s.mu.Unlock()

	if x.api == Login {
		name, _, _ := strings.Cut(strings.TrimPrefix(x.r.URL.Path, "/"), "/")
		x.tenant = s.tenant(name)

		return x.tenant != nil && x.tenant == s.home
	}

	if t := s.access[bearer(x.r)]; t != nil {
		x.tenant, x.client = t.tenant, t.client
	}

	return x.tenant != nil && x.tenant == s.home
}

// bearer returns the access token of a request (RFC 6750 section 2.1).
func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}

	return strings.TrimSpace(token)
}

// random returns a new generator for each answer; its numbers depend on the seed only.
func (x *exchange) random() *rand.Rand {
	x.sim.mu.Lock()
	defer x.sim.mu.Unlock()

	x.sim.errors++

	return random(x.sim.cfg.Seed, "answer", x.sim.errors)
}

// base returns the address that the client used for this host.
func (x *exchange) base() string {
	if x.r.TLS != nil {
		return "https://" + x.r.Host
	}

	return "http://" + x.r.Host
}

// json answers with one piece of JSON.
func (x *exchange) json(status int, body []byte) {
	x.status, x.body, x.rows, x.ends = status, [][]byte{body}, nil, nil
	x.header.Set("Content-Type", "application/json; charset=utf-8")
}

// html answers with a web page.
func (x *exchange) html(status int, body string) {
	x.status, x.body, x.rows, x.ends = status, [][]byte{[]byte(body)}, nil, nil
	x.header.Set("Content-Type", "text/html; charset=utf-8")
}

// list answers with rows between head and tail.
func (x *exchange) list(head string, rows []*row, v variant, tail string) {
	x.header.Set("Content-Type", "application/json; charset=utf-8")

	x.body = append(make([][]byte, 0, 3*len(rows)+2), []byte(head))

	at := int64(len(head))
	for i, r := range rows {
		n := len(x.body)
		if i > 0 {
			x.body = append(x.body, comma)
		}

		x.body = r.appendTo(x.body, v)
		for _, b := range x.body[n:] {
			at += int64(len(b))
		}

		x.ends = append(x.ends, at)
	}

	x.body = append(x.body, []byte(tail))
	x.rows, x.variant = rows, v
}

var comma = []byte{','}

// length returns the number of bytes in the body.
func (x *exchange) length() (n int64) {
	for _, b := range x.body {
		n += int64(len(b))
	}

	return n
}

// errAborted says that an answer ends early because of a fault.
var errAborted = errors.New("answer broken off on purpose")
