package defender

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/test/setup"
	"fluent-bit-defender/internal/testbed/simulator"
)

// TestRandomServices reads random alerts from services with random habits and faults;
// DEFENDER_SEEDS=from-to runs other seeds.
func TestRandomServices(t *testing.T) {
	from, to := 1, setup.Size(12, 200)

	if text := os.Getenv("DEFENDER_SEEDS"); text != "" {
		a, b, _ := strings.Cut(text, "-")
		from, _ = strconv.Atoi(a)
		to, _ = strconv.Atoi(b)
	}

	for seed := from; seed <= to; seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()

			random := rand.New(rand.NewPCG(uint64(seed), 1))
			api := alert.APIs()[random.IntN(len(alert.APIs()))]

			var habits []string

			r := newRig(t, api, func(c *simulator.Config, s *Settings) {
				c.Seed = uint64(seed)
				c.SIEMBounds = []string{"[)", "[]", "()", "(]"}[random.IntN(4)]

				if api == alert.SIEM {
					return
				}

				s.MaxPage = min(s.MaxPage, []int{s.MaxPage, s.MaxPage, 60, 200}[random.IntN(4)])
				s.PageSize = min(s.MaxPage, []int{s.MaxPage, 10, 37, 100}[random.IntN(4)])
				c.OrderBy = []simulator.OrderMode{simulator.OrderKept, simulator.OrderKept, simulator.OrderIgnored,
					simulator.OrderRefused}[random.IntN(4)]
				c.GraphLinks = simulator.LinkMode(random.IntN(2))
				step := []time.Duration{0, time.Millisecond, time.Second}[random.IntN(3)]
				c.PrintedStep = map[string]time.Duration{string(api): step}
				s.ByCreation = random.IntN(5) == 0
				habits = append(
					habits,
					fmt.Sprintf("top %d of %d, order %d, links %d, printed %v, by creation %v",
						s.PageSize, s.MaxPage, c.OrderBy, c.GraphLinks, step, s.ByCreation),
				)
			})

			var faults []string

			for _, f := range []string{
				"move:p=0.3", "dup:p=0.2", "shuffle:p=0.05", "cut:p=0.1", "cut:p=0.05;kind=clean", "500:p=0.15",
				"429:p=0.1;wait=3s", "503:p=0.1;after=date",
				"junk:p=0.1", "junk:p=0.05;kind=json", "emptypage:p=0.15", "lastlink:p=0.5", "ties", "401:p=0.05",
				"link:p=0.2;kind=repeat", "link:p=0.2;kind=nodollar",
				"link:p=0.2;kind=otherhost", "reset:p=0.05", "gzip:p=0.3",
			} {
				if random.IntN(4) == 0 {
					faults = append(faults, f)
				}
			}

			for _, f := range []string{"links", "link:kind=none", "clamp:size=25"} {
				if random.IntN(6) == 0 {
					faults = append(faults, f)
				}
			}

			if random.IntN(3) == 0 {
				faults = append(
					faults,
					[]string{"skip", "skip:kind=ignored", "skip:p=0.3", "skip:p=0.3;kind=ignored"}[random.IntN(4)],
				)
			}

			r.Generate(
				contoso,
				20+random.IntN(300),
				simulator.GenerateOptions{Since: start.Add(-20 * time.Hour), Until: start},
			)
			manyTied(
				r.Simulator,
				1+random.IntN(4),
				1+random.IntN(120),
				start.Add(-time.Duration(1+random.IntN(9))*time.Hour),
				[]time.Duration{0, 100, time.Millisecond, time.Second}[random.IntN(4)],
			)

			if err := r.SetFaults(strings.Join(faults, ",")); err != nil {
				t.Fatal(err)
			}

			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("%s: %v; faults %q; %d requests; said %q",
						api, habits, faults, r.Requests().Count[string(api)], r.notices.List())
				}
			})
			k := keeper{basket: newBasket(t, api)}
			r.readOn(r.window(24*time.Hour), &k, &k.safe)
			r.pollAgain(k.basket)

			for _, w := range k.deferred {
				if err := r.reader.ReadDeferred(t.Context(), w, k); err != nil {
					t.Error(err)
				}
			}

			if r.cfg.ByCreation { // updates are not asked for: what counts is that each alert came
				for identity := range r.Ledger(contoso, string(api)).Latest {
					if !k.has(identity) {
						t.Errorf("lost %q", identity)
					}
				}
			} else {
				r.complete(k.basket)
			}

			if calls := r.Requests().Count[string(api)]; calls > 8000 {
				t.Errorf("%d requests", calls)
			}
		})
	}
}

// has reports whether any version of an alert came.
func (b *basket) has(identity string) bool {
	for key := range b.rows {
		if strings.HasPrefix(key, identity+"\n") {
			return true
		}
	}

	return false
}
