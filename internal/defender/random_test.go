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
			api := pick(random, alert.APIs()...)
			r := randomRig(t, random, api, uint64(seed))

			k := keeper{basket: newBasket(t, api)}
			r.readOn(r.window(24*time.Hour), &k, &k.safe)
			r.pollAgain(k.basket)

			for _, w := range k.deferred {
				if err := r.reader.ReadDeferred(t.Context(), w, k); err != nil {
					t.Error(err)
				}
			}

			if r.cfg.ByCreation {
				r.eachCame(k.basket)
			} else {
				r.complete(k.basket)
			}

			if calls := r.Requests().Count[string(api)]; calls > 8000 {
				t.Errorf("%d requests", calls)
			}
		})
	}
}

func pick[T any](random *rand.Rand, from ...T) T { return from[random.IntN(len(from))] }

// randomRig makes a service with random habits, alerts and faults. A test that fails logs
// them.
func randomRig(t *testing.T, random *rand.Rand, api alert.API, seed uint64) *rig {
	t.Helper()

	habits := "as usual"

	r := newRig(t, api, func(c *simulator.Config, s *Settings) {
		c.Seed = seed
		c.SIEMBounds = pick(random, "[)", "[]", "()", "(]")

		if api == alert.SIEM {
			return
		}

		s.MaxPage = min(s.MaxPage, pick(random, s.MaxPage, s.MaxPage, 60, 200))
		s.PageSize = min(s.MaxPage, pick(random, s.MaxPage, 10, 37, 100))
		c.OrderBy = pick(random, simulator.OrderKept, simulator.OrderKept, simulator.OrderIgnored,
			simulator.OrderRefused)
		c.GraphLinks = simulator.LinkMode(random.IntN(2))
		step := pick(random, 0, time.Millisecond, time.Second)
		c.PrintedStep = map[string]time.Duration{string(api): step}
		s.ByCreation = random.IntN(5) == 0
		habits = fmt.Sprintf("top %d of %d, order %d, links %d, printed %v, by creation %v",
			s.PageSize, s.MaxPage, c.OrderBy, c.GraphLinks, step, s.ByCreation)
	})

	faults := randomFaults(random)

	usual := simulator.GenerateOptions{Since: start.Add(-20 * time.Hour), Until: start}
	r.Generate(contoso, 20+random.IntN(300), usual)
	manyTied(
		r.Simulator,
		1+random.IntN(4),
		1+random.IntN(120),
		start.Add(-time.Duration(1+random.IntN(9))*time.Hour),
		pick(random, 0, 100, time.Millisecond, time.Second),
	)

	if err := r.SetFaults(faults); err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s: %s; faults %s; %d requests; said %q",
				api, habits, faults, r.Requests().Count[string(api)], r.notices.List())
		}
	})

	return r
}

func randomFaults(random *rand.Rand) string {
	var faults []string

	some := func(one int, of ...string) {
		for _, f := range of {
			if random.IntN(one) == 0 {
				faults = append(faults, f)
			}
		}
	}

	some(4, "move:p=0.3", "dup:p=0.2", "shuffle:p=0.05", "cut:p=0.1", "cut:p=0.05;kind=clean", "500:p=0.15",
		"429:p=0.1;wait=3s", "503:p=0.1;after=date", "junk:p=0.1", "junk:p=0.05;kind=json", "emptypage:p=0.15",
		"lastlink:p=0.5", "ties", "401:p=0.05", "link:p=0.2;kind=repeat", "link:p=0.2;kind=nodollar",
		"link:p=0.2;kind=otherhost", "reset:p=0.05", "gzip:p=0.3")
	some(6, "links", "link:kind=none", "clamp:size=25")
	some(3, pick(random, "skip", "skip:kind=ignored", "skip:p=0.3", "skip:p=0.3;kind=ignored"))

	return strings.Join(faults, ",")
}

// eachCame checks that some version of each alert came. Where updates are not asked for,
// that is what counts.
func (r *rig) eachCame(b *basket) {
	r.t.Helper()

	for identity := range r.Ledger(contoso, string(r.api)).Latest {
		if !b.has(identity) {
			r.t.Errorf("lost %q", identity)
		}
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
