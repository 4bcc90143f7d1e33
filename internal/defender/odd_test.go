package defender

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"testing"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/test/setup"
	"fluent-bit-defender/internal/tick"
)

// oddAnswer is an answer that is not the list that was asked for, nor a plain failure.
type oddAnswer struct {
	status int
	body   string
}

// oddAnswers are what may be mistaken for a list without alerts.
func oddAnswers(api alert.API) map[string]oddAnswer {
	all := map[string]oddAnswer{
		"400":                   {http.StatusBadRequest, `{"error":{"code":"BadRequest","message":"x"}}`},
		"404":                   {http.StatusNotFound, `{}`},
		"413":                   {http.StatusRequestEntityTooLarge, ``},
		"204":                   {http.StatusNoContent, ``},
		"206 with a list":       {http.StatusPartialContent, `[]`},
		"nothing":               {http.StatusOK, ``},
		"white space":           {http.StatusOK, "\n"},
		"null":                  {http.StatusOK, `null`},
		"a text":                {http.StatusOK, `"none"`},
		"a number":              {http.StatusOK, `0`},
		"an empty object":       {http.StatusOK, `{}`},
		"an error as an object": {http.StatusOK, `{"error":{"code":"x"}}`},
		"HTML":                  {http.StatusOK, `<html></html>`},
		"half a list":           {http.StatusOK, `[`},
	}
	if api == alert.SIEM {
		all["an object instead of an array"] = oddAnswer{http.StatusOK, `{"value":[]}`}
		return all
	}

	all["an array instead of an object"] = oddAnswer{http.StatusOK, `[]`}
	all["value is null"] = oddAnswer{http.StatusOK, `{"value":null}`}
	all["value is an object"] = oddAnswer{http.StatusOK, `{"value":{}}`}
	all["half a page"] = oddAnswer{http.StatusOK, `{"value":[`}

	return all
}

// TestAnOddAnswerIsNeverTheEnd: windows that are answered oddly while others are
// answered well are never taken for read: not those that are too long, and not those
// that hold a certain alert. All other alerts come.
func TestAnOddAnswerIsNeverTheEnd(t *testing.T) {
	setup.OneGoroutine(t)

	for _, api := range alert.APIs() {
		for name, odd := range oddAnswers(api) {
			for what, strikes := range map[string]func(from, to tick.Tick) bool{
				"long windows": longWindows,
				"one alert":    windowsOfOneAlert,
			} {
				t.Run(fmt.Sprintf("%s/%s/%s", api, name, what), func(t *testing.T) {
					t.Parallel()
					readOdd(t, api, odd, strikes)
				})
			}
		}
	}
}

func longWindows(from, to tick.Tick) bool { return min(to, tick.FromTime(start))-from > 10*tick.Minute }

func windowsOfOneAlert(from, to tick.Tick) bool {
	at := tick.FromTime(hundredAlerts()[40])
	return from <= at && at < to
}

// readOdd reads from a service that answers oddly to some windows. The read must come to
// its end, and each alert arrive or be deferred.
func readOdd(t *testing.T, api alert.API, odd oddAnswer, strikes func(from, to tick.Tick) bool) {
	t.Helper()

	p := poisoned{api: api, alerts: hundredAlerts()}
	reader, _ := fake(t, api, func(w http.ResponseWriter, r *http.Request) {
		q, _ := url.ParseQuery(r.URL.RawQuery)
		if !strikes(p.window(q)) {
			p.ServeHTTP(w, r)
			return
		}

		p.asked++

		w.WriteHeader(odd.status)
		_, _ = io.WriteString(w, odd.body)
	}, func(s *Settings) { s.PageSize = 30 })

	k := keeper{basket: newBasket(t, api)}
	whole := false

	for reads := 0; !whole && reads < 60; reads++ {
		w := w0()
		w.From = max(w.From, k.safe)
		whole = reader.Read(t.Context(), w, &k) == nil
	}

	if !whole {
		t.Error("the window is never read to its end")
	}

	t.Logf("read to its end %v, %d alerts, %d deferred, %d requests", whole, len(k.rows), len(k.deferred), p.asked)

	for i, at := range p.alerts {
		if k.times(i) == 0 && !covered(k.deferred, tick.FromTime(at)) {
			t.Errorf("alert %d is missing, and nobody knows", i)
		}
	}
}

// covered reports whether one of the windows holds a time.
func covered(windows []Window, at tick.Tick) bool {
	for _, w := range windows {
		if w.From <= at && at < w.To {
			return true
		}
	}

	return false
}
