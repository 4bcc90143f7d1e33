package defender

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/testbed/loglines"
	"fluent-bit-defender/internal/tick"
)

// poisoned is a service with alerts of which some cannot be read: every answer that
// holds one of them fails.
type poisoned struct {
	api    alert.API
	alerts []time.Time
	poison map[int]bool
	// evidence says that only with $expand they fail; status how: 0 is an answer that
	// breaks off.
	evidence bool
	status   int
	down     bool
	asked    int
}

var bound = regexp.MustCompile(` (ge|lt) (\S+)`)

func (p *poisoned) window(q url.Values) (from, to tick.Tick) {
	to = 1 << 62

	if p.api == alert.SIEM {
		from, _ = tick.Parse(q.Get("sinceTimeUtc"))
		if q.Has("untilTimeUtc") {
			to, _ = tick.Parse(q.Get("untilTimeUtc"))
		}

		return from, to
	}

	for _, m := range bound.FindAllStringSubmatch(q.Get("$filter"), -1) {
		if at, _ := tick.Parse(m[2]); m[1] == "ge" {
			from = at
		} else {
			to = at
		}
	}

	return from, to
}

func (p *poisoned) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.asked++
	q, _ := url.ParseQuery(r.URL.RawQuery)
	from, to := p.window(q)

	top, skip := len(p.alerts), 0
	if q.Has("$top") {
		top, _ = strconv.Atoi(q.Get("$top"))
		skip, _ = strconv.Atoi(q.Get("$skip"))
	}

	var rows []string

	bad := p.down
	for i, at := range p.alerts {
		t := tick.FromTime(at)
		if t < from || t >= to {
			continue
		}

		if skip--; skip >= 0 || len(rows) == top {
			continue
		}

		bad = bad || p.poison[i] && (!p.evidence || q.Has("$expand"))
		rows = append(rows, row(p.api, fmt.Sprint(i), at))
	}

	text := "[" + strings.Join(rows, ",") + "]"
	if p.api != alert.SIEM {
		text = `{"value":` + text + `}`
	}

	switch {
	case bad && p.status != 0:
		http.Error(w, "<html>", p.status)
		return
	case bad:
		text = text[:len(text)/2]
	}

	_, _ = w.Write([]byte(text))
}

func hundredAlerts() (list []time.Time) {
	for i := range 100 {
		list = append(list, start.Add(-time.Hour).Add(time.Duration(i)*29*time.Second))
	}

	return list
}

// poisons are ways in which alerts cannot be read.
var poisons = map[string]poisoned{
	"500":              {poison: map[int]bool{40: true}, status: 500},
	"503":              {poison: map[int]bool{40: true}, status: 503},
	"breaks off":       {poison: map[int]bool{40: true}},
	"the first":        {poison: map[int]bool{0: true}, status: 500},
	"the last":         {poison: map[int]bool{99: true}, status: 500},
	"several":          {poison: map[int]bool{3: true, 40: true, 41: true, 90: true}, status: 502},
	"with evidence":    {poison: map[int]bool{40: true}, status: 500, evidence: true},
	"one among others": {poison: map[int]bool{50: true}, status: 500}, // of the same instant
}

// TestOneBadAnswerNeverStopsATenant: alerts that make every answer fail are stepped
// over, all others arrive, and those follow when they can be read.
func TestOneBadAnswerNeverStopsATenant(t *testing.T) {
	for name, test := range poisons {
		for _, api := range alert.APIs() {
			if test.evidence && api != alert.Endpoint {
				continue
			}

			p := test
			p.api, p.alerts = api, hundredAlerts()

			if name == "one among others" {
				for i := 45; i < 56; i++ {
					p.alerts[i] = p.alerts[50]
				}
			}

			t.Run(name+"/"+string(api), func(t *testing.T) {
				v := visit(t, &p)
				v.readToTheEnd()

				missing := v.missing()

				if p.evidence {
					if missing > 0 || len(v.deferred) > 0 || len(v.notices.List()) != 1 {
						t.Errorf("without $expand they can be read: %d missing, %v deferred, said %q",
							missing, v.deferred, v.notices.List())
					}

					return
				}

				if len(v.deferred) == 0 || p.asked > 160*len(p.poison) {
					t.Errorf("%d windows deferred after %d requests", len(v.deferred), p.asked)
				}

				v.readAgain()
				v.readAfterARestart()
				v.deferredStillFails()

				p.poison = nil
				v.deferredIsRead()
			})
		}
	}
}

// visitor reads the alerts of a poisoned service.
type visitor struct {
	keeper

	p       *poisoned
	reader  DeferringReader
	notices *loglines.Lines
}

func visit(t *testing.T, p *poisoned) *visitor {
	t.Helper()

	reader, notices := fake(t, p.api, p.ServeHTTP, func(s *Settings) { s.PageSize = 30 })
	v := &visitor{keeper{basket: newBasket(t, p.api)}, p, reader, notices}
	v.rows = map[string]int{}

	return v
}

// readToTheEnd reads on after each failure from where it was safe.
func (v *visitor) readToTheEnd() {
	v.t.Helper()

	w := w0()

	for failures := 0; ; failures++ {
		err := v.reader.Read(v.t.Context(), w, &v.keeper)
		if err == nil {
			v.t.Logf("%d requests, %d windows deferred, %d Reads failed", v.p.asked, len(v.deferred), failures)
			return
		}

		if failures == 8 {
			v.t.Fatalf("after %d requests: %v", v.p.asked, err)
		}

		w.From, v.safe = max(w.From, v.safe), 0
	}
}

// missing returns how many alerts did not come. Only those that are poisoned may be
// among them, and with siem those of the same seconds.
func (v *visitor) missing() (n int) {
	v.t.Helper()

	for i := range v.p.alerts {
		if v.times(i) > 0 {
			continue
		}

		n++

		if !v.p.poison[i] && (v.p.api != alert.SIEM || !near(*v.p, i)) {
			v.t.Errorf("alert %d is missing", i)
		}
	}

	return n
}

// readAgain: the next polls reach back over what is deferred, and cost no more than
// others.
func (v *visitor) readAgain() {
	v.t.Helper()

	before, deferred := v.p.asked, len(v.deferred)

	v.safe = 0
	if err := v.reader.Read(v.t.Context(), w0(), &v.keeper); err != nil || len(v.deferred) != deferred {
		v.t.Errorf("the next poll: %v, %d windows deferred", err, len(v.deferred)-deferred)
	}

	if calls := v.p.asked - before; calls > 12*(1+deferred) {
		v.t.Errorf("the next poll took %d requests", calls)
	}
}

// readAfterARestart: a new reader is told what is deferred.
func (v *visitor) readAfterARestart() {
	v.t.Helper()

	deferred := len(v.deferred)
	v.safe = 0

	again, _ := fake(v.t, v.p.api, v.p.ServeHTTP)
	for _, a := range v.deferred {
		again.Avoid(a)
	}

	if err := again.Read(v.t.Context(), w0(), &v.keeper); err != nil || len(v.deferred) != deferred {
		v.t.Errorf("after a restart: %v, %d windows deferred", err, len(v.deferred)-deferred)
	}
}

func (v *visitor) deferredStillFails() {
	v.t.Helper()

	failed := false

	for _, a := range v.deferred {
		var e *Error

		err := v.reader.ReadDeferred(v.t.Context(), a, &v.keeper)
		if err != nil && !errors.As(err, &e) {
			v.t.Error(err)
		}

		failed = failed || err != nil
	}

	if !failed {
		v.t.Error("what is deferred was read although it cannot be")
	}
}

// deferredIsRead: what is deferred comes once it can be read.
func (v *visitor) deferredIsRead() {
	v.t.Helper()

	safe := v.safe
	for _, a := range slices.Clone(v.deferred) {
		if err := v.reader.ReadDeferred(v.t.Context(), a, &v.keeper); err != nil {
			v.t.Error(err)
		}
	}

	for i := range v.p.alerts {
		if v.times(i) == 0 {
			v.t.Errorf("alert %d never came", i)
		}
	}

	if v.safe != safe {
		v.t.Error("what was read later moved the walk's progress")
	}
}

// near reports whether the second of an alert has another one that is poisoned.
func near(p poisoned, i int) bool {
	for j := range p.poison {
		if d := p.alerts[i].Sub(p.alerts[j]); d > -2*time.Second && d < 2*time.Second {
			return true
		}
	}

	return false
}

func w0() Window {
	return Window{From: tick.FromTime(start.Add(-2 * time.Hour)), Now: tick.FromTime(start)}
}

// times tells how often an alert of poisoned came.
func (b *basket) times(i int) int {
	n := 0

	for key, count := range b.rows {
		if identity, _, _ := strings.Cut(key, "\n"); identity == fmt.Sprint(i) {
			n += count
		}
	}

	return n
}

// TestNothingIsDeferredWhileTheServiceIsDown: a general outage says nothing about a
// window, however long it lasts.
func TestNothingIsDeferredWhileTheServiceIsDown(t *testing.T) {
	for _, api := range alert.APIs() {
		for _, status := range []int{0, 500, 503} {
			p := poisoned{
				api:    api,
				alerts: hundredAlerts(),
				down:   true,
				status: status,
			}
			reader, _ := fake(t, api, p.ServeHTTP)

			k := keeper{basket: newBasket(t, api)}
			for range 50 {
				if err := reader.Read(t.Context(), w0(), &k); err == nil {
					t.Fatalf("%s %d: a service that is down was read", api, status)
				}
			}

			if len(k.deferred) > 0 {
				t.Errorf("%s %d: %v deferred", api, status, k.deferred)
			}

			if p.asked > 120 {
				t.Errorf("%s %d: %d requests in 50 polls", api, status, p.asked)
			}

			p.down = false

			if err := reader.Read(t.Context(), w0(), &k); err != nil || len(k.rows) != 100 {
				t.Errorf("%s %d: afterwards %d alerts, %v", api, status, len(k.rows), err)
			}
		}
	}
}

// TestTooMuchIsNoPoison: where all alerts together fail and few at a time do not,
// nothing is deferred.
func TestTooMuchIsNoPoison(t *testing.T) {
	for _, api := range alert.APIs() {
		p := poisoned{api: api, alerts: hundredAlerts()}
		reader, _ := fake(t, api, func(w http.ResponseWriter, r *http.Request) {
			q, _ := url.ParseQuery(r.URL.RawQuery)
			from, to := p.window(q)
			n := 0

			for _, at := range p.alerts {
				if at := tick.FromTime(at); at >= from && at < to {
					n++
				}
			}

			if n > 9 {
				p.asked++

				http.Error(w, "", http.StatusRequestEntityTooLarge)

				return
			}

			p.ServeHTTP(w, r)
		})
		k := keeper{basket: newBasket(t, api)}

		failed := 0
		for ; failed < 20; failed++ {
			w := Window{From: max(w0().From, k.safe), Now: w0().Now}
			if reader.Read(t.Context(), w, &k) == nil {
				break
			}
		}

		if failed == 20 || len(k.rows) != 100 || len(k.deferred) > 0 || p.asked > 150 {
			t.Errorf("%s: %d alerts, %d windows deferred, %d requests", api, len(k.rows), len(k.deferred), p.asked)
		}
	}
}

// TestAWindowThatNobodyKeepsIsNotSteppedOver: a sink that cannot defer gets the error,
// and nothing is lost behind its back.
func TestAWindowThatNobodyKeepsIsNotSteppedOver(t *testing.T) {
	for _, api := range alert.APIs() {
		p := poisoned{
			api:    api,
			alerts: hundredAlerts(),
			poison: map[int]bool{40: true},
			status: 500,
		}
		reader, _ := fake(t, api, p.ServeHTTP)
		b := newBasket(t, api)

		var err error

		for range 10 {
			w := w0()
			w.From = max(w.From, b.safe)
			err = reader.Read(t.Context(), w, b)
		}

		if err == nil || b.safe > tick.FromTime(p.alerts[40]) {
			t.Errorf("%s: %v, safe until %v", api, err, b.safe)
		}

		refuses := errors.New("disk full")

		bad := refusing{b, refuses}
		for range 3 {
			err = reader.Read(t.Context(), Window{From: b.safe, Now: tick.FromTime(start)}, bad)
			if errors.Is(err, refuses) {
				break
			}
		}

		if !errors.Is(err, refuses) || b.safe > tick.FromTime(p.alerts[40]) {
			t.Errorf("%s: a sink that cannot write it down: %v, safe until %v", api, err, b.safe)
		}
	}
}

type refusing struct {
	*basket
	err error
}

func (r refusing) Defer(Window, string) error { return r.err }

// TestExpandIsLeftOutWhereItNeverWorks (trap 29 in doc.go): a service that fails with
// $expand for every alert is read without, and asked again after an hour.
func TestExpandIsLeftOutWhereItNeverWorks(t *testing.T) {
	c := newClock()

	p := poisoned{
		api:      alert.Endpoint,
		alerts:   hundredAlerts(),
		poison:   map[int]bool{},
		status:   500,
		evidence: true,
	}
	for i := range p.alerts {
		p.poison[i] = true
	}

	reader, notices := fake(t, alert.Endpoint, p.ServeHTTP, func(s *Settings) { s.Now = c.Now })

	k := keeper{basket: newBasket(t, alert.Endpoint)}
	for range 20 {
		if err := reader.Read(t.Context(), Window{From: max(w0().From, k.safe), Now: w0().Now}, &k); err == nil {
			break
		}
	}

	if len(k.rows) != 100 || len(k.deferred) > 0 || p.asked > 500 || len(notices.List()) != 2 {
		t.Errorf("%d alerts, %d windows deferred, %d requests, said %q",
			len(k.rows), len(k.deferred), p.asked, notices.List())
	}

	p.poison = nil

	c.Advance(expandAgain)

	expanded := false
	reader.(*odata).client.HTTP = &http.Client{
		Transport: seeing(func(r *http.Request) { expanded = expanded || r.URL.Query().Has("$expand") }),
	}

	k.safe = 0
	if err := reader.Read(t.Context(), w0(), &k); err != nil || !expanded {
		t.Errorf("an hour later: %v, with $expand %v", err, expanded)
	}
}

// TestAnOrderThatMakesItFailIsLeftOut: $orderby is documented for none of the APIs;
// some may answer it with 500.
func TestAnOrderThatMakesItFailIsLeftOut(t *testing.T) {
	for _, api := range oDataAPIs {
		l := listing{api: api, desc: true}
		for i := range 20 {
			l.alerts = append(l.alerts, start.Add(-time.Duration(i+1)*time.Minute))
		}

		reader, notices := fake(t, api, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Has("$orderby") {
				w.WriteHeader(500)
				return
			}

			l.ServeHTTP(w, r)
		})

		k, reads := keeper{basket: newBasket(t, api)}, 1
		for ; reads < 20 && reader.Read(t.Context(), lastHour(), &k) != nil; reads++ {
			k.safe = 0
		}

		if len(k.rows) != 20 || len(k.deferred) > 0 || reads > 10 || len(notices.List()) != 1 {
			t.Errorf("%s: %d alerts after %d reads, %d windows deferred, said %q",
				api, len(k.rows), reads, len(k.deferred), notices.List())
		}
	}
}
