package defender

import (
	"errors"
	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/test/setup"
	"fluent-bit-defender/internal/testbed/simulator"
	"fluent-bit-defender/internal/tick"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestFractionsAreTimesNotText: trap 12 in doc.go; ".5Z" is before ".50001Z" and after
// "Z".
func TestFractionsAreTimesNotText(t *testing.T) {
	asked := 0
	reader, notices := fake(t, alert.Endpoint, func(w http.ResponseWriter, r *http.Request) {
		asked++
		times := []string{
			"2026-03-01T11:30:50Z",
			"2026-03-01T11:30:50.1Z",
			"2026-03-01T11:30:50.19Z",
			"2026-03-01T11:30:50.1900001Z",
			"2026-03-01T11:30:50.2Z",
		}
		q, _ := url.ParseQuery(r.URL.RawQuery)
		from, _ := (&poisoned{}).window(q)

		var rows []string

		for i, text := range times {
			if at, _ := tick.Parse(text); at >= from {
				rows = append(rows, fmt.Sprintf(`{"id":"%d","lastUpdateTime":%q}`, i, text))
			}
		}

		skip, _ := strconv.Atoi(q.Get("$skip"))
		rows = rows[min(skip, len(rows)):]
		_, _ = io.WriteString(w, pageOf(rows[:min(2, len(rows))]...))
	})

	b := newBasket(t, alert.Endpoint)
	if err := reader.Read(t.Context(), lastHour(), b); err != nil || len(b.rows) != 5 || len(notices.List()) > 0 {
		t.Errorf("%d of 5 after %d requests, %v, %q", len(b.rows), asked, err, notices.List())
	}
}

// TestEqualsAtAPageEdge: neither lost nor, within a poll, endlessly repeated.
func TestEqualsAtAPageEdge(t *testing.T) {
	for size := 2; size < 12; size++ {
		l := listing{api: alert.Incidents}
		for i := range 40 {
			l.alerts = append(l.alerts, start.Add(-time.Hour+time.Duration(i/3)*time.Second))
		}

		reader, _ := fake(t, alert.Incidents, l.ServeHTTP, func(s *Settings) { s.PageSize = size })

		b := newBasket(t, alert.Incidents)
		if err := reader.Read(t.Context(), w0(), b); err != nil || len(b.rows) != 40 || l.asked > 45 {
			t.Errorf("pages of %d: %d of 40 after %d requests, %v", size, len(b.rows), l.asked, err)
		}
	}
}

// TestBoundsAreFinerThanStamps: alerts 100 ns apart on both sides of every bound,
// in small closed windows.
func TestBoundsAreFinerThanStamps(t *testing.T) {
	l := listing{api: alert.Graph, desc: true, clamp: 5}
	for i := range 50 {
		l.alerts = append(l.alerts, start.Add(-time.Minute+time.Duration(i*100)))
	}

	reader, _ := fake(t, alert.Graph, l.ServeHTTP)

	b := newBasket(t, alert.Graph)
	if err := reader.Read(t.Context(), lastHour(), b); err != nil || len(b.rows) != 50 {
		t.Errorf("%d of 50, %v", len(b.rows), err)
	}
}

// TestProgressOnlyByTimesThatAreThere: rows without the time that windows go by
// move nothing on.
func TestProgressOnlyByTimesThatAreThere(t *testing.T) {
	reader, _ := fake(t, alert.Endpoint, func(w http.ResponseWriter, r *http.Request) {
		q, _ := url.ParseQuery(r.URL.RawQuery)
		if skip, _ := strconv.Atoi(q.Get("$skip")); skip > 0 {
			_, _ = io.WriteString(w, pageOf())
			return
		}

		_, _ = io.WriteString(w, pageOf(`{"id":"1","updated":"2026-03-01T11:59:00Z"}`, `{"id":"2"}`))
	})

	b := newBasket(t, alert.Endpoint)
	if err := reader.Read(t.Context(), lastHour(), b); err != nil || b.safe != 0 || len(b.rows) != 2 {
		t.Errorf("%v, safe until %v, %d rows", err, b.safe, len(b.rows))
	}
}

// TestNothingIsSafeBeforeTheSinkTookIt: when the sink fails, no progress is
// reported for the page that it refused a row of.
func TestNothingIsSafeBeforeTheSinkTookIt(t *testing.T) {
	for _, api := range alert.APIs() {
		p := poisoned{api: api, alerts: hundredAlerts()}
		reader, _ := fake(t, api, p.ServeHTTP, func(s *Settings) { s.PageSize = 10 })
		b, stop := newBasket(t, api), errors.New("buffer closed")
		b.before = func([]byte) error {
			if b.total == 55 {
				return stop
			}

			return nil
		}

		err := reader.Read(t.Context(), w0(), b)
		if !errors.Is(err, stop) || b.safe > tick.FromTime(p.alerts[55]) {
			t.Errorf("%s: %v, safe until %v", api, err, b.safe)
		}
	}
}

// TestALargePageIsReadWhole: trap 32 in doc.go; a body of 20 MB, with one alert of
// several megabytes in it.
func TestALargePageIsReadWhole(t *testing.T) {
	setup.OneGoroutine(t)

	for _, api := range alert.APIs() {
		r := newRig(t, api, nil)
		r.Generate(contoso, 30, simulator.GenerateOptions{Since: start.Add(-time.Hour), Until: start, Size: 200_000})
		r.Generate(contoso, 1, simulator.GenerateOptions{
			Since: start.Add(-time.Hour),
			Until: start,
			Size:  4_000_000,
			Name:  "large",
		})

		if err := r.SetFaults("huge:size=10M"); err != nil {
			t.Fatal(err)
		}

		b := newBasket(t, api)
		if err := r.reader.Read(t.Context(), r.window(2*time.Hour), b); err != nil {
			t.Errorf("%s: %v", api, err)
		}

		r.complete(b)
	}
}

// TestOneRowIsOneAlert: evidence does not make several of one.
func TestOneRowIsOneAlert(t *testing.T) {
	r := newRig(t, alert.Endpoint, nil)
	r.Add(contoso, simulator.Alert{Created: start.Add(-time.Minute), Evidence: make([]simulator.Evidence, 5)})

	b := newBasket(t, alert.Endpoint)
	evidence := 0

	b.before = func(raw []byte) error {
		evidence = strings.Count(string(raw), `"entityType"`)
		return nil
	}
	if err := r.reader.Read(t.Context(), r.window(time.Hour), b); err != nil || len(b.rows) != 1 || evidence != 5 {
		t.Errorf("%v, %d rows, %d evidence", err, len(b.rows), evidence)
	}
}

// TestAnEmptyPageWithALinkIsNotTheEnd: the rows behind the link are read.
func TestAnEmptyPageWithALinkIsNotTheEnd(t *testing.T) {
	r := newRig(t, alert.Graph, nil)
	manyTied(r.Simulator, 3, 2, start.Add(-time.Hour), time.Minute)

	if err := r.SetFaults("emptypage:count=3"); err != nil {
		t.Fatal(err)
	}

	b := newBasket(t, alert.Graph)
	if err := r.reader.Read(t.Context(), r.window(2*time.Hour), b); err != nil {
		t.Error(err)
	}

	r.complete(b)
}

// TestLinksAreNotNeeded: a service that links to its own page, or loses the $ of
// its options, is read without its links.
func TestLinksAreNotNeeded(t *testing.T) {
	for name, link := range map[string]func(r *http.Request, next int) string{
		"to itself": func(r *http.Request, _ int) string { return "http://" + r.Host + r.URL.RequestURI() },
		"lost $": func(r *http.Request, next int) string {
			return fmt.Sprintf("http://%s/alerts?=x&=%d&$skip=%d", r.Host, next, next)
		},
		"to and fro": func(r *http.Request, next int) string {
			token := "a"
			if strings.Contains(r.URL.RawQuery, "skiptoken=a") {
				token = "b"
			}

			q, _ := url.ParseQuery(r.URL.RawQuery)

			return "http://" + r.Host + "/alerts?$filter=" + url.QueryEscape(q.Get("$filter")) +
				"&$top=" + q.Get("$top") + "&$skiptoken=" + token
		},
	} {
		l := listing{api: alert.Graph, clamp: 10, link: link}
		for i := range 90 {
			l.alerts = append(l.alerts, start.Add(-time.Hour+time.Duration(i/30)*time.Minute))
		}

		reader, notices := fake(t, alert.Graph, l.ServeHTTP)

		b := newBasket(t, alert.Graph)
		if err := reader.Read(t.Context(), w0(), b); err != nil || len(b.rows) != 90 || l.asked > 150 {
			t.Errorf("%s: %d of 90 after %d requests, %v", name, len(b.rows), l.asked, err)
		}

		if len(notices.List()) > 1 {
			t.Errorf("%s: said %q", name, notices.List())
		}
	}
}

// TestOddTypesAreTakenAsTheyStand: null where an object is expected, a number
// where a text is, and the reverse.
func TestOddTypesAreTakenAsTheyStand(t *testing.T) {
	for _, api := range alert.APIs() {
		names := fields(api)
		rows := []string{
			fmt.Sprintf(`{%q:12345678901234567890,%q:"2026-03-01T11:30:00Z","evidence":null,"alerts":null}`,
				names.Identity, names.Updated),
			fmt.Sprintf(`{%q:"x",%q:"2026-03-01T11:30:00Z","evidence":"none","alerts":{"a":[]}}`,
				names.Identity, names.Updated),
			fmt.Sprintf(`{%q:null,%q:"2026-03-01T11:30:00Z"}`, names.Identity, names.Updated),
			fmt.Sprintf(`{%q:"y",%q:1772364600}`, names.Identity, names.Updated),
			`null`,
		}
		reader, _ := fake(t, api, func(w http.ResponseWriter, r *http.Request) {
			q, _ := url.ParseQuery(r.URL.RawQuery)
			skip, _ := strconv.Atoi(q.Get("$skip"))

			text := pageOf(rows[min(skip, len(rows)):]...)
			if api == alert.SIEM {
				text = "[" + strings.Join(rows, ",") + "]"
			}

			_, _ = io.WriteString(w, text)
		})

		var got []string

		b := newBasket(t, api)

		b.before = func(raw []byte) error {
			if len(got) < len(rows) {
				got = append(got, string(raw))
			}

			return nil
		}
		if err := reader.Read(t.Context(), lastHour(), b); err != nil || !slices.Equal(got, rows) ||
			len(b.rows) != len(rows) {
			t.Errorf("%s: %q, %v", api, got, err)
		}
	}
}

// TestIdsAndVersionsAsTheyAre: negative ids, the text "null", and an id that
// comes in several versions, also at one time of another API's.
func TestIdsAndVersionsAsTheyAre(t *testing.T) {
	for _, api := range oDataAPIs {
		names := fields(api)

		var rows []string

		for _, id := range []string{`"null"`, `-17`, `"-17"`, `"da1_-2"`} {
			for minute := range 3 {
				rows = append(
					rows,
					fmt.Sprintf(`{%q:%s,%q:"2026-03-01T11:%02d:00Z","category":"null"}`,
						names.Identity, id, names.Updated, minute),
				)
			}
		}

		slices.SortFunc(rows, func(a, b string) int {
			return strings.Compare(a[strings.Index(a, "11:"):], b[strings.Index(b, "11:"):])
		})

		reader, _ := fake(t, api, func(w http.ResponseWriter, r *http.Request) {
			q, _ := url.ParseQuery(r.URL.RawQuery)
			from, _ := (&poisoned{}).window(q)
			skip, _ := strconv.Atoi(q.Get("$skip"))

			var list []string

			for i, text := range rows {
				if tick.FromTime(start.Add(-time.Hour+time.Duration(i/4)*time.Minute)) >= from {
					list = append(list, text)
				}
			}

			list = list[min(skip, len(list)):]
			_, _ = io.WriteString(w, pageOf(list[:min(5, len(list))]...))
		})

		b := newBasket(t, api)
		// -17 and "-17" are one identity.
		if err := reader.Read(t.Context(), lastHour(), b); err != nil || len(b.rows) != 9 {
			t.Errorf("%s: %d of 9, %v", api, len(b.rows), err)
		}
	}
}
