package defender

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/tick"
)

// listing is an OData service whose habits a test may change.
type listing struct {
	api    alert.API
	alerts []time.Time
	// desc answers newest first, whatever is asked; noFilter and noSkip ignore these
	// options; clamp is the largest page.
	desc, noFilter, noSkip bool
	clamp                  int
	// dup says which pages, counted from 1, have a row twice.
	dup func(page int) bool
	// link, if set, returns the nextLink of a page that has more behind it.
	link  func(r *http.Request, next int) string
	asked int
}

func (l *listing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.asked++
	q, _ := url.ParseQuery(r.URL.RawQuery)
	from, to := (&poisoned{api: l.api}).window(q)

	top, skip := 10_000, 0
	if q.Has("$top") {
		top, _ = strconv.Atoi(q.Get("$top"))
	}

	if !l.noSkip {
		skip, _ = strconv.Atoi(q.Get("$skip"))
	}

	if l.clamp > 0 {
		top = min(top, l.clamp)
	}

	type alert struct {
		at tick.Tick
		id int
	}

	var list []alert

	for i, at := range l.alerts {
		if at := tick.FromTime(at); l.noFilter || at >= from && at < to {
			list = append(list, alert{at, i})
		}
	}

	slices.SortStableFunc(list, func(a, b alert) int {
		if l.desc {
			a, b = b, a
		}

		return int(a.at - b.at)
	})
	list = list[min(skip, len(list)):]
	more := len(list) > top
	list = list[:min(top, len(list))]

	var rows []string
	for _, a := range list {
		rows = append(rows, row(l.api, fmt.Sprint(a.id), a.at.Time()))
	}

	if l.dup != nil && len(rows) > 0 && l.dup(l.asked) {
		rows = append(rows[:1:1], rows...)
	}

	link := ""
	if more && l.link != nil {
		link = fmt.Sprintf(`,"@odata.nextLink":%q`, l.link(r, skip+top))
	}

	_, _ = io.WriteString(w, `{"value":[`+strings.Join(rows, ",")+`]`+link+`}`)
}

// TestAShortPageIsNotTheEnd (trap 8 in doc.go): a service that lists fewer rows than it
// is asked for, without a word and without a link, is read to its end.
func TestAShortPageIsNotTheEnd(t *testing.T) {
	for _, api := range oDataAPIs {
		for _, clamp := range []int{1, 2, 7, 25} {
			for _, tied := range []int{1, 3, 30} {
				for _, desc := range []bool{false, true} {
					l := listing{api: api, clamp: clamp, desc: desc}
					for i := range 60 {
						l.alerts = append(l.alerts, start.Add(-time.Hour+time.Duration(i/tied)*time.Minute))
					}

					if clamp == 1 && (tied > 1 || desc) {
						continue // one alert at a time, and no way to tell them apart
					}

					reader, _ := fake(t, api, l.ServeHTTP)
					b := newBasket(t, api)
					w := lastHour()

					w.From -= tick.Second
					if err := reader.Read(t.Context(), w, b); err != nil || len(b.rows) != 60 {
						t.Errorf("%s, pages of %d, %d of an instant, newest first %v: %d of 60, %v",
							api, clamp, tied, desc, len(b.rows), err)
					}
				}
			}
		}
	}
}

// TestARowThatComesTwiceMakesNoPageShort: a page that is longer by a repeat is no
// measure for the pages after it.
func TestARowThatComesTwiceMakesNoPageShort(t *testing.T) {
	for _, api := range oDataAPIs {
		for _, desc := range []bool{false, true} {
			for every := 1; every < 6; every++ {
				for tied := range 3 {
					l := listing{
						api:   api,
						clamp: 10,
						desc:  desc,
						dup:   func(page int) bool { return page%every == 1%every },
					}
					for i := range 60 {
						l.alerts = append(l.alerts, start.Add(-time.Hour+time.Duration(i/(1+tied*14))*time.Minute))
					}

					reader, _ := fake(t, api, l.ServeHTTP)

					b := newBasket(t, api)
					if err := reader.Read(t.Context(), w0(), b); err != nil || len(b.rows) != 60 {
						t.Errorf("%s, newest first %v, every %d, ties %d: %d of 60, %v",
							api, desc, every, tied, len(b.rows), err)
					}
				}
			}
		}
	}
}

// TestNewestFirstIsNoticed even if the newest page is of a single instant, which
// looks like any order.
func TestNewestFirstIsNoticed(t *testing.T) {
	for _, api := range oDataAPIs {
		l := listing{api: api, clamp: 10, desc: true}
		for i := range 40 {
			l.alerts = append(l.alerts, start.Add(-time.Hour+time.Duration(min(i, 25))*time.Minute))
		}

		reader, notices := fake(t, api, l.ServeHTTP)

		b := newBasket(t, api)
		if err := reader.Read(t.Context(), w0(), b); err != nil || len(b.rows) != 40 {
			t.Errorf("%s: %d of 40, %v", api, len(b.rows), err)
		}

		if len(notices.List()) != 1 || !strings.Contains(notices.List()[0], "order") {
			t.Errorf("%s: said %q", api, notices.List())
		}
	}
}

// TestAnIgnoredFilterIsNoticed (trap 15 in doc.go): a service that lists everything,
// since an option lost its $ on the way, is an error that says so, at once.
func TestAnIgnoredFilterIsNoticed(t *testing.T) {
	for _, api := range oDataAPIs {
		for _, desc := range []bool{false, true} {
			l := listing{api: api, noFilter: true, desc: desc}
			for i := range 5000 {
				l.alerts = append(l.alerts, start.Add(-time.Duration(i)*time.Hour))
			}

			reader, _ := fake(t, api, l.ServeHTTP)

			var e *Error

			err := reader.Read(t.Context(), lastHour(), newBasket(t, api))
			if !errors.As(err, &e) || !e.Fate.NeedsPerson() || !strings.Contains(e.Error(), "time filter") ||
				e.Remedy == "" ||
				l.asked > 2 {
				t.Errorf("%s: %v after %d requests", api, err, l.asked)
			}
		}
	}
}

// TestOneOddTimeStopsNobody: alerts without a time, of the year 1, of the far future or
// from outside of the window among others.
func TestOneOddTimeStopsNobody(t *testing.T) {
	for _, api := range oDataAPIs {
		for name, odd := range map[string]string{
			"none":       `{ID:"odd"}`,
			"null":       `{ID:"odd",UPDATED:null}`,
			"the year 1": `{ID:"odd",UPDATED:"0001-01-01T00:00:00Z"}`,
			"9999":       `{ID:"odd",UPDATED:"9999-12-31T23:59:59.9999999Z"}`,
			"too old":    `{ID:"odd",UPDATED:"2020-01-01T00:00:00Z"}`,
			"no id":      `{"x":1,UPDATED:"2026-03-01T11:30:00Z"}`,
			"a text":     `"odd"`,
			"a number":   `17`,
			"an object":  `{}`,
		} {
			names := fields(api)
			odd := strings.NewReplacer("ID", strconv.Quote(names.Identity), "UPDATED", strconv.Quote(names.Updated)).
				Replace(odd)

			for _, last := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/last %t", api, name, last), func(t *testing.T) {
					readBesideOdd(t, api, odd, last)
				})
			}
		}
	}
}

// readBesideOdd reads ten alerts from pages that have an odd row first or last.
func readBesideOdd(t *testing.T, api alert.API, odd string, last bool) {
	t.Helper()

	asked := 0
	reader, _ := fake(t, api, func(w http.ResponseWriter, r *http.Request) {
		asked++
		q, _ := url.ParseQuery(r.URL.RawQuery)
		from, to := (&poisoned{}).window(q)
		skip, _ := strconv.Atoi(q.Get("$skip"))

		var rows []string

		for i := range 10 {
			at := start.Add(time.Duration(i-10) * time.Minute)
			if tick.FromTime(at) >= from && tick.FromTime(at) < to {
				rows = append(rows, row(api, fmt.Sprint(i), at))
			}
		}

		if last {
			rows = append(rows, odd)
		} else {
			rows = append([]string{odd}, rows...)
		}

		_, _ = io.WriteString(w, pageOf(rows[min(skip, len(rows)):]...))
	})

	b := newBasket(t, api)
	if err := reader.Read(t.Context(), lastHour(), b); err != nil || len(b.rows) != 11 || asked > 60 {
		t.Errorf("%d of 11 after %d requests, %v", len(b.rows), asked, err)
	}
}

// TestEndlessAnswersEnd: services that would keep us busy for ever get an error after a
// bounded number of requests.
func TestEndlessAnswersEnd(t *testing.T) {
	n := 0
	fresh := func() string { n++; return row(alert.Graph, fmt.Sprint("new-", n), start.Add(-time.Minute)) }

	link := func(r *http.Request) string {
		n++
		return fmt.Sprintf(`,"@odata.nextLink":"http://%s/alerts?$filter=x&$skiptoken=%d"`, r.Host, n)
	}
	for name, test := range map[string]struct {
		answer func(r *http.Request) string
		most   int
		fine   bool // it may also end well
	}{
		"empty pages with ever new links": {func(r *http.Request) string { return `{"value":[]` + link(r) + `}` }, 500,
			false},
		"an empty page with a link to itself": {func(r *http.Request) string {
			return fmt.Sprintf(`{"value":[],"@odata.nextLink":"http://%s%s"}`, r.Host,
				strings.ReplaceAll(r.URL.RequestURI(), `"`, `%22`))
		}, 500, false},
		"the same page with ever new links": {func(r *http.Request) string {
			return `{"value":[` + row(alert.Graph, "a", start.Add(-time.Minute)) + `]` + link(r) + `}`
		}, 2000, false},
		"other alerts of one instant each time": {func(*http.Request) string { return pageOf(fresh(), fresh()) }, 2000,
			false},
		"alerts whose bytes change each time": {func(*http.Request) string {
			n++
			return pageOf(fmt.Sprintf(`{"id":"a","lastUpdateDateTime":"2026-03-01T11:59:00Z","served":%d}`, n))
		}, 20, true},
		"alerts without id whose bytes change": {func(*http.Request) string {
			n++
			return pageOf(fmt.Sprintf(`{"served":%d}`, n))
		},
			2000, false},
	} {
		asked := 0
		reader, _ := fake(t, alert.Graph, func(w http.ResponseWriter, r *http.Request) {
			if asked++; asked > 100_000 {
				panic("endless")
			}

			_, _ = io.WriteString(w, test.answer(r))
		}, func(s *Settings) { s.MaxPage, s.PageSize = 2, 2 })
		k := keeper{basket: newBasket(t, alert.Graph)}
		err := reader.Read(t.Context(), lastHour(), &k)

		var e *Error
		if (err == nil) != test.fine || err != nil && !errors.As(err, &e) || asked > test.most {
			t.Errorf("%s: %v after %d requests", name, err, asked)
		}

		t.Logf("%s: %d requests, %v", name, asked, err)
	}
}

// TestAnEndlessBodyEnds: rows without end in one answer are an error after a bounded
// number.
func TestAnEndlessBodyEnds(t *testing.T) {
	endless := &http.Client{Transport: answering(func(r *http.Request) (*http.Response, error) {
		one := row(alert.Graph, "a", start) + ","
		body := io.MultiReader(strings.NewReader(`{"value":[`), &repeating{text: strings.Repeat(one, 500)})

		return &http.Response{
			StatusCode: 200,
			Header:     http.Header{},
			Body:       io.NopCloser(body),
			Request:    r,
		}, nil
	})}
	reader, _ := fake(t, alert.Graph, nil, func(s *Settings) { s.HTTP = endless })
	b := newBasket(t, alert.Graph)

	var e *Error
	if err := reader.Read(t.Context(), lastHour(), b); !errors.As(err, &e) || !e.Smaller || b.total != maxRows {
		t.Errorf("%v after %d rows", err, b.total)
	}

	long := &body{
		c:     &client{},
		ctx:   t.Context(),
		left:  10,
		guard: newWatchdog(nil),
		from:  io.NopCloser(strings.NewReader("more than ten bytes")),
	}
	if _, err := io.ReadAll(long); !errors.As(err, &e) || !strings.Contains(e.Problem, "endless answer") {
		t.Errorf("too many bytes: %v", err)
	}
}

type repeating struct {
	text string
	at   int
}

func (r *repeating) Read(p []byte) (int, error) {
	n := copy(p, r.text[r.at:])
	r.at = (r.at + n) % len(r.text)

	return n, nil
}

// TestSkipIsNotTrusted: a service that ignores $skip means an error, or all rows, but
// never an end that is none.
func TestSkipIsNotTrusted(t *testing.T) {
	l := listing{api: alert.Endpoint, clamp: 10, noSkip: true}
	for range 30 {
		l.alerts = append(l.alerts, start.Add(-time.Minute))
	}

	reader, _ := fake(t, alert.Endpoint, l.ServeHTTP)
	b := newBasket(t, alert.Endpoint)

	err := reader.Read(t.Context(), lastHour(), b)
	if err == nil && len(b.rows) != 30 {
		t.Errorf("%d of 30 and no error", len(b.rows))
	}
}
