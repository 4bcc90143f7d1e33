package defender

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/test/setup"
	"fluent-bit-defender/internal/testbed/simulator"
)

// manyTied are alerts in groups that share their update time, and each also their
// creation time.
func manyTied(s *simulator.Simulator, groups, each int, from time.Time, step time.Duration) {
	for g := range groups {
		at := from.Add(time.Duration(g) * step)
		for i := range each {
			s.Add(contoso, simulator.Alert{Title: fmt.Sprintf("tie %d/%d", g, i), Created: at, Updated: at})
		}
	}
}

// TestEveryListedVersionIsHandedOver reads what the simulator lists through each fault,
// as package collect would: every alert in its latest version, whatever the service
// does.
type change = func(*simulator.Config, *Settings)

// pagesOf asks for at most n rows a page.
func pagesOf(n int) change {
	return func(_ *simulator.Config, s *Settings) { s.PageSize = min(n, s.PageSize) }
}

// ordered has pages of at most n rows, in an order that the service keeps, ignores or
// refuses.
func ordered(m simulator.OrderMode, n int) change {
	return func(c *simulator.Config, s *Settings) {
		c.OrderBy, s.PageSize, s.MaxPage = m, min(n, s.PageSize), min(n, s.MaxPage)
	}
}

// listings are ways in which a service lists alerts, by what goes wrong.
var listings = map[string]struct {
	faults string
	change change
}{
	"nothing goes wrong":            {},
	"pages of 37":                   {change: pagesOf(37)},
	"rows move between pages of 37": {faults: "move", change: pagesOf(37)},
	"rows move, and the largest page is 10": {faults: "move",
		change: func(c *simulator.Config, s *Settings) { s.PageSize, s.MaxPage = 7, 10 }},
	"rows twice and in disorder now and then": {faults: "dup:every=2,shuffle:every=9", change: pagesOf(50)},
	"order ignored":            {change: ordered(simulator.OrderIgnored, 40)},
	"order ignored, rows move": {faults: "move", change: ordered(simulator.OrderIgnored, 40)},
	"order refused":            {change: ordered(simulator.OrderRefused, 40)},
	"times printed by the second": {change: func(c *simulator.Config, s *Settings) {
		c.PrintedStep = map[string]time.Duration{
			"graph":     time.Second,
			"endpoint":  time.Second,
			"incidents": time.Second,
		}
		s.PageSize = 37
	}},
	"links repeat":          {faults: "link:kind=repeat", change: pagesOf(10)},
	"links lose their $":    {faults: "link:kind=nodollar", change: pagesOf(10)},
	"links to another host": {faults: "link:kind=otherhost", change: pagesOf(10)},
	"links are refused":     {faults: "link:kind=skiptoken", change: pagesOf(10)},
	"links by skip": {change: func(c *simulator.Config, s *Settings) {
		c.GraphLinks = simulator.LinkSkip
		s.PageSize = 10
	}},
	"empty pages": {faults: "emptypage:every=2", change: pagesOf(10)},
	"the last page is linked to an empty one": {faults: "lastlink", change: pagesOf(10)},
	"order ignored, last page linked":         {faults: "lastlink", change: ordered(simulator.OrderIgnored, 40)},
	"equals in another order each time":       {faults: "ties", change: pagesOf(50)},
	"empty pages, links refused":              {faults: "emptypage:every=3,link:kind=skiptoken", change: pagesOf(10)},
	"junk with status 200":                    {faults: "junk:every=3", change: pagesOf(50)},
	"junk that is JSON":                       {faults: "junk:every=3;kind=json", change: pagesOf(50)},
	"an empty list of another API":            {faults: "junk:every=3;kind=list", change: pagesOf(50)},
	"nothing with status 200":                 {faults: "junk:every=3;kind=empty", change: pagesOf(50)},
	"cut by length":                           {faults: "cut:every=3", change: pagesOf(50)},
	"cut, chunked":                            {faults: "cut:every=3;kind=chunked", change: pagesOf(50)},
	"cut cleanly":                             {faults: "cut:every=3;kind=clean;at=0.9", change: pagesOf(50)},
	"reset":                                   {faults: "reset:every=4", change: pagesOf(50)},
	"refused":                                 {faults: "refuse:every=4", change: pagesOf(50)},
	"413":                                     {faults: "413:every=3", change: pagesOf(50)},
	"5xx in turn": {faults: "500:every=3,502:every=5,503:every=7;after=seconds;wait=3s,504:every=11",
		change: pagesOf(50)},
	"two failures of three": {faults: "500:p=0.66", change: pagesOf(50)},
	"429": {
		faults: "429:every=3;wait=20s,429:every=8;after=date;wait=9s",
		change: pagesOf(50),
	},
	"429 without a time": {faults: "429:every=3;after=none", change: pagesOf(50)},
	"gzip, white space, tokens that die": {
		faults: "gzip:every=2,huge:every=3;size=300k,401:every=5",
		change: pagesOf(50),
	},
	"everything at once": {faults: "move,dup:p=0.1,shuffle:p=0.02,cut:p=0.1,500:p=0.1,429:p=0.05," +
		"junk:p=0.05,emptypage:p=0.1,401:p=0.05",
		change: pagesOf(37)},
}

func TestEveryListedVersionIsHandedOver(t *testing.T) {
	for name, test := range listings {
		for _, api := range alert.APIs() {
			t.Run(fmt.Sprintf("%s/%s", name, api), func(t *testing.T) {
				t.Parallel()
				r := newRig(t, api, func(c *simulator.Config, s *Settings) {
					if test.change != nil && api != alert.SIEM {
						test.change(c, s)
					}
				})
				r.Generate(contoso, 150, simulator.GenerateOptions{Since: start.Add(-20 * time.Hour), Until: start})
				manyTied(r.Simulator, 3, 45, start.Add(-5*time.Hour), time.Second)

				if err := r.SetFaults(test.faults); err != nil {
					t.Fatal(err)
				}

				b := newBasket(t, api)
				r.readOn(r.window(24*time.Hour), b, &b.safe)
				r.pollAgain(b)
				r.complete(b)

				if api == alert.SIEM {
					return
				}

				calls := r.Requests().Count[string(api)]
				if calls > 1200 {
					t.Errorf("%d requests for %d rows", calls, b.total)
				}
			})
		}
	}
}

// TestTiesBeyondTheLargestPage: hundreds of alerts of one instant, more than a page may
// have, with every way on that an API has.
func TestTiesBeyondTheLargestPage(t *testing.T) {
	setup.OneGoroutine(t)

	for name, test := range map[string]struct {
		faults string
		change func(*simulator.Config, *Settings)
	}{
		"links or skip":           {},
		"rows move":               {faults: "move"},
		"no order among equals":   {faults: "ties"},
		"links refused":           {faults: "link:kind=skiptoken"},
		"links refused later":     {faults: "link:kind=skiptoken;every=3"},
		"links repeat":            {faults: "link:kind=repeat;every=2"},
		"empty pages":             {faults: "emptypage:every=3"},
		"links refused and empty": {faults: "link:kind=skiptoken,emptypage:every=3"},
		"order ignored": {
			change: func(c *simulator.Config, s *Settings) { c.OrderBy = simulator.OrderIgnored },
		},
		"order ignored, rows move": {
			faults: "move",
			change: func(c *simulator.Config, s *Settings) { c.OrderBy = simulator.OrderIgnored },
		},
	} {
		for _, api := range oDataAPIs {
			t.Run(fmt.Sprintf("%s/%s", name, api), func(t *testing.T) {
				t.Parallel()
				r := newRig(t, api, func(c *simulator.Config, s *Settings) {
					s.PageSize, s.MaxPage = 37, 50
					if test.change != nil {
						test.change(c, s)
					}
				})
				manyTied(r.Simulator, 1, 20, start.Add(-3*time.Hour), 0)
				manyTied(r.Simulator, 2, 333, start.Add(-2*time.Hour), 100)
				manyTied(r.Simulator, 1, 20, start.Add(-time.Hour), 0)

				if err := r.SetFaults(test.faults); err != nil {
					t.Fatal(err)
				}

				b := keeper{basket: newBasket(t, api)}
				r.readOn(r.window(24*time.Hour), &b, &b.safe)
				r.pollAgain(b.basket)

				for _, w := range b.deferred { // what could not be read by any means can be when links work again
					if err := r.reader.ReadDeferred(t.Context(), w, b); err != nil {
						t.Fatal(err)
					}
				}

				r.complete(b.basket)

				must := api == alert.Graph &&
					strings.HasPrefix(test.faults, "link:kind=skiptoken")
				if must != (len(b.deferred) > 0) {
					t.Errorf("%d windows were deferred", len(b.deferred))
				}

				if calls := r.Requests().Count[string(api)]; calls > 800 {
					t.Errorf("%d requests for %d rows", calls, b.total)
				}
			})
		}
	}
}

// TestSmallAnswersCostFewCalls: what a poll of a quiet tenant takes is what the call
// budgets are planned by.
func TestSmallAnswersCostFewCalls(t *testing.T) {
	for _, api := range alert.APIs() {
		for _, alerts := range []int{0, 1, 2, 30} {
			r := newRig(t, api, nil)

			for i := range alerts {
				at := start.Add(-time.Duration(i+1) * time.Second)
				r.Add(contoso, simulator.Alert{Created: at, Updated: at})
			}

			b := newBasket(t, api)
			if err := r.reader.Read(t.Context(), r.window(10*time.Minute), b); err != nil {
				t.Fatal(err)
			}

			if calls := r.Requests().Count[string(api)]; calls > callsPerPoll {
				t.Errorf("%s: %d calls for %d alerts", api, calls, alerts)
			}

			if len(b.rows) != alerts {
				t.Errorf("%s: %d of %d alerts", api, len(b.rows), alerts)
			}
		}
	}
}

// TestEqualsWithoutAnOrderAreAllRead: a service that draws the order of alerts of one
// instant anew for each request shows some of them on two pages of a pass and others on
// none.
func TestEqualsWithoutAnOrderAreAllRead(t *testing.T) {
	for seed := range uint64(setup.Size(24, 120)) {
		for _, api := range oDataAPIs {
			r := newRig(t, api, func(c *simulator.Config, s *Settings) {
				c.Seed, c.Faults = seed, "ties"
				s.PageSize, s.MaxPage = 10, 10
			})
			manyTied(r.Simulator, 1, []int{12, 14, 17, 33}[seed%4], start.Add(-2*time.Hour), 0)

			if seed%2 == 0 { // the page that leaves the instant is the last of a pass
				manyTied(r.Simulator, 1, 9, start.Add(-time.Hour), 0)
			}

			b := newBasket(t, api)
			r.readOn(r.window(24*time.Hour), b, &b.safe)
			r.complete(b)
			r.Close()
		}
	}
}
