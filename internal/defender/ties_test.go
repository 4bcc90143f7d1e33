package defender

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/test/setup"
	"fluent-bit-defender/internal/testbed/simulator"
)

// bulk is a tenant with many alerts of one instant, and 50 later ones.
type bulk struct {
	*rig
	keeper
	many, later int
}

// newBulk makes a bulk whose alerts are step apart, up to each of one instant.
func newBulk(
	t *testing.T,
	api alert.API,
	many, each int,
	step time.Duration,
	change func(*simulator.Config, *Settings),
) *bulk {
	t.Helper()
	r := newRig(t, api, func(c *simulator.Config, s *Settings) {
		s.MaxPage = min(s.MaxPage, 1000)

		s.PageSize = min(s.PageSize, s.MaxPage)
		if change != nil {
			change(c, s)
		}
	})
	manyTied(r.Simulator, (many+each-1)/each, each, start.Add(-2*time.Hour), step)
	manyTied(r.Simulator, 50, 1, start.Add(-time.Hour), time.Second)

	return &bulk{
		rig:    r,
		keeper: keeper{basket: newBasket(t, api)},
		many:   many,
		later:  50,
	}
}

// arrived counts the alerts of the instant and the later ones that came.
func (b *bulk) arrived() (tied, later int) {
	for key := range b.rows {
		_, version, _ := strings.Cut(key, "\n")
		version, _, _ = strings.Cut(version, ":")
		ticks := int64(0)

		_, _ = fmt.Sscan(version, &ticks)
		if time.Unix(0, ticks*100).After(start.Add(-90 * time.Minute)) {
			later++
		} else {
			tied++
		}
	}

	return tied, later
}

// calls returns how many requests were made.
func (b *bulk) calls() int { return b.Requests().Count[string(b.api)] }

// TestManyAlertsOfOneInstant: 2,500 alerts of one instant come, or are deferred, by
// every way on that a service may have or refuse; later ones come always.
func TestManyAlertsOfOneInstant(t *testing.T) {
	setup.OneGoroutine(t)

	for link, linkFault := range map[string]string{"link": "links", "no link": "link:kind=none"} {
		for skip, skipFault := range map[string]string{
			"skip works":   "",
			"skip refused": "skip:kind=refused",
			"skip ignored": "skip:kind=ignored",
		} {
			for _, api := range oDataAPIs {
				t.Run(fmt.Sprintf("%s/%s/%s", link, skip, api), func(t *testing.T) {
					t.Parallel()

					b := newBulk(t, api, 2500, 2500, 0, nil)
					if err := b.SetFaults(linkFault + "," + skipFault); err != nil {
						t.Fatal(err)
					}
					// Without links the simulated Graph lets 1,500 be read: $skip ends
					// at 500.
					way := link == "link" || skip == "skip works" && api != alert.Graph
					b.check(t, way)
				})
			}
		}
	}
}

// check reads the bulk, again, and once more after the faults have ended.
func (b *bulk) check(t *testing.T, whole bool) {
	t.Helper()
	b.readOn(b.window(24*time.Hour), b, &b.safe)
	tied, later := b.arrived()
	first := b.calls()
	t.Logf("%d of %d, %d later, %d deferred, %d requests for %d rows",
		tied, b.many, later, len(b.deferred), first, b.total)

	if later != b.later {
		t.Errorf("%d of %d later alerts came", later, b.later)
	}

	if (tied == b.many) != whole || whole != (len(b.deferred) == 0) {
		t.Errorf("%d of %d alerts came, %d windows were deferred", tied, b.many, len(b.deferred))
	}

	if first > 250 {
		t.Errorf("%d requests", first)
	}

	// The next poll steps over what is deferred.
	deferred := len(b.deferred)

	b.safe = 0
	if err := b.reader.Read(t.Context(), b.window(24*time.Hour), b); err != nil || len(b.deferred) != deferred {
		t.Errorf("the next poll: %v, %d windows deferred", err, len(b.deferred)-deferred)
	}

	if calls := b.calls() - first; !whole && calls > 10 {
		t.Errorf("the next poll took %d requests", calls)
	}

	// What is deferred fails until the service changes, and then it is read.
	for _, w := range b.deferred {
		if err := b.reader.ReadDeferred(t.Context(), w, b); err == nil {
			t.Error("a deferred window was read although the service refuses it")
		}
	}

	if err := b.SetFaults("links"); err != nil {
		t.Fatal(err)
	}

	for _, w := range b.deferred {
		if err := b.reader.ReadDeferred(t.Context(), w, b); err != nil {
			t.Error(err)
		}
	}

	if tied, _ := b.arrived(); tied != b.many {
		t.Errorf("%d of %d alerts came at last", tied, b.many)
	}
}

// TestFinerStoredTimesTellAlertsApart: alerts that are printed with one time and stored
// 100 ns apart all come, by whatever way a service leaves.
func TestFinerStoredTimesTellAlertsApart(t *testing.T) {
	setup.OneGoroutine(t)

	for _, faults := range []string{"", "link:kind=none,skip:kind=refused", "link:kind=none,skip:kind=ignored"} {
		for _, api := range oDataAPIs {
			t.Run(fmt.Sprintf("%q/%s", faults, api), func(t *testing.T) {
				t.Parallel()

				b := newBulk(t, api, 2500, 1, 100, func(c *simulator.Config, _ *Settings) {
					c.PrintedStep = map[string]time.Duration{string(api): time.Second}
				})
				if err := b.SetFaults(faults); err != nil {
					t.Fatal(err)
				}

				b.readOn(b.window(24*time.Hour), b, &b.safe)
				tied, later := b.arrived()
				t.Logf("%d requests for %d rows", b.calls(), b.total)

				if tied != 2500 || later != 50 || len(b.deferred) > 0 || b.calls() > 300 {
					t.Errorf("%d of 2500, %d of 50 later, %d deferred, %d requests",
						tied, later, len(b.deferred), b.calls())
				}
			})
		}
	}
}

// TestPagesCutWithoutAWord: a page that is smaller than what was asked for, is full of
// one instant, and has no way on, is not taken for all.
func TestPagesCutWithoutAWord(t *testing.T) {
	for _, clamp := range []int{5, 100} {
		for _, later := range []bool{true, false} {
			for _, api := range oDataAPIs {
				t.Run(fmt.Sprintf("pages of %d/later %v/%s", clamp, later, api), func(t *testing.T) {
					t.Parallel()
					readCutPages(t, api, clamp, later)
				})
			}
		}
	}
}

// readCutPages reads 250 alerts of one instant from pages that are cut, with or without
// alerts that came later.
func readCutPages(t *testing.T, api alert.API, clamp int, later bool) {
	t.Helper()

	r := newRig(t, api, nil)
	manyTied(r.Simulator, 1, 250, start.Add(-2*time.Hour), 0)

	if later {
		manyTied(r.Simulator, 3, 1, start.Add(-time.Hour), time.Second)
	}

	faults := fmt.Sprintf("clamp:size=%d,link:kind=none,skip:kind=refused", clamp)
	if err := r.SetFaults(faults); err != nil {
		t.Fatal(err)
	}

	k := keeper{basket: newBasket(t, api)}
	r.readOn(r.window(24*time.Hour), &k, &k.safe)

	seen := later || clamp >= leastCut // else nothing shows that the page is cut
	if len(k.deferred) > 0 != seen || later && len(k.rows) != clamp+3 {
		t.Errorf("%d alerts, %d windows deferred", len(k.rows), len(k.deferred))
	}

	for _, w := range k.deferred {
		if err := r.reader.ReadDeferred(t.Context(), w, k); err == nil {
			t.Error("the deferred window is taken for read")
		}
	}
}

// TestARefusedSkipIsNoFailure of a tenant with few alerts: nothing is deferred.
func TestARefusedSkipIsNoFailure(t *testing.T) {
	for _, kind := range []string{"refused", "ignored"} {
		for _, order := range []simulator.OrderMode{simulator.OrderKept, simulator.OrderIgnored} {
			for _, alerts := range []int{0, 1, 2, 9, 40} {
				for _, api := range oDataAPIs {
					r := newRig(t, api, func(c *simulator.Config, _ *Settings) { c.OrderBy = order })
					manyTied(r.Simulator, alerts, 1, start.Add(-time.Hour), time.Second)

					if err := r.SetFaults("link:kind=none,skip:kind=" + kind); err != nil {
						t.Fatal(err)
					}

					k := keeper{basket: newBasket(t, api)}
					r.readOn(r.window(24*time.Hour), &k, &k.safe)

					calls := r.Requests().Count[string(api)]
					if len(k.rows) != alerts || len(k.deferred) > 0 || calls > 120 {
						t.Errorf("%s, $skip %s, order %d: %d of %d alerts, %d deferred, %d requests",
							api, kind, order, len(k.rows), alerts, len(k.deferred), calls)
					}
				}
			}
		}
	}
}

// TestTenThousandAlertsOfOneInstant: what is read of an instant costs as many requests
// as it has pages, twice.
func TestTenThousandAlertsOfOneInstant(t *testing.T) {
	b := newBulk(t, alert.Incidents, 10_000, 10_000, 0, nil)
	b.readOn(b.window(24*time.Hour), b, &b.safe)

	if tied, later := b.arrived(); tied != 10_000 || later != 50 || len(b.deferred) > 0 || b.calls() > 220 {
		t.Errorf("%d alerts, %d later, %d deferred, %d requests", tied, later, len(b.deferred), b.calls())
	}
}

// TestASinkThatCannotDeferGetsAnError: an instant that cannot be read to its end is
// never passed over without a word.
func TestASinkThatCannotDeferGetsAnError(t *testing.T) {
	for _, api := range oDataAPIs {
		b := newBulk(t, api, 2500, 2500, 0, nil)
		if err := b.SetFaults("link:kind=none,skip:kind=refused"); err != nil {
			t.Fatal(err)
		}

		err := b.reader.Read(t.Context(), b.window(24*time.Hour), b.basket)
		if err == nil ||
			!strings.Contains(err.Error(), "may list more alerts of 2026-03-01T10:00:00.0000000Z than can be read") {
			t.Errorf("%s: %v", api, err)
		}
	}
}

// TestAnInstantWithoutEndCostsBoundedRequests: a service that has new alerts of every
// instant, without end, keeps a Read busy for a while only, and is an error.
func TestAnInstantWithoutEndCostsBoundedRequests(t *testing.T) {
	for _, links := range []bool{false, true} {
		asked := 0
		reader, _ := fake(t, alert.Graph, func(w http.ResponseWriter, r *http.Request) {
			asked++
			q, _ := url.ParseQuery(r.URL.RawQuery)
			from, _ := (&poisoned{api: alert.Graph}).window(q)

			text := pageOf(
				row(alert.Graph, fmt.Sprint("a", asked), from.Time()),
				row(alert.Graph, fmt.Sprint("b", asked), from.Time()),
			)
			if links {
				link := fmt.Sprintf(`,"@odata.nextLink":"http://%s/alerts?$filter=%s&$skiptoken=%d"}`,
					r.Host, url.QueryEscape(q.Get("$filter")), asked)
				text = strings.TrimSuffix(text, "}") + link
			}

			_, _ = io.WriteString(w, text)
		}, func(s *Settings) { s.MaxPage, s.PageSize = 2, 2 })

		k := keeper{basket: newBasket(t, alert.Graph)}

		err := reader.Read(t.Context(), lastHour(), &k)
		if err == nil || len(k.deferred) == 0 || len(k.deferred) > mostDeferredAtOnce || asked > 4000 {
			t.Errorf("links %v: %v, %d deferred, %d requests", links, err, len(k.deferred), asked)
		}

		t.Logf("links %v: %d requests, %v", links, asked, err)
	}
}
