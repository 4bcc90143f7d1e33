package tokens_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/tokens"
	"fluent-bit-defender/tokens/tokenstest"
)

const home = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"

// provider is a sign-in service with a provider's own tenant and its customers. It is
// strict: a refresh token rotates at home only, home and customers accept the newest two,
// and what a customer returned is good nowhere.
type provider struct {
	fake
	times []time.Time
	// codes is what a tenant refuses with; 0: nothing.
	codes map[string]int
	// redeemed counts successes by tenant.
	redeemed map[string]int
	rotated  int
	// signIn is the name of the sign-in whose tokens are good.
	signIn string
	// hold, if set, is closed when customers may answer.
	hold    chan struct{}
	holding int
	life    int
}

func newProvider() *provider {
	p := &provider{
		codes:    map[string]int{},
		redeemed: map[string]int{},
		signIn:   "a",
		life:     3600,
	}
	p.answer = p.reply

	return p
}

func (p *provider) refuse(tenant string, code int) {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.codes[tenant] = code
}

// note notes when a request came.
func (p *provider) note() {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.times = append(p.times, time.Now())
}

func (p *provider) reply(a asked) (int, string) {
	p.note()
	p.mu.Lock()
	tenant, _, _ := strings.Cut(strings.TrimPrefix(a.path, "/"), "/")

	if hold := p.hold; hold != nil && tenant != home {
		p.holding++
		p.mu.Unlock()
		<-hold
		p.mu.Lock()
	}

	defer p.mu.Unlock()

	name, n := "", 0
	_, err := fmt.Sscanf(a.form.Get("refresh_token"), "rt-%1s-%d", &name, &n)

	switch code := p.codes[tenant]; {
	case code != 0:
		return 400, refusal("invalid_grant", code)
	case err != nil || name != p.signIn || n < p.rotated-1 || n > p.rotated:
		return 400, refusal("invalid_grant", 700082)
	}

	p.redeemed[tenant]++

	if tenant != home {
		return 200, granted(fmt.Sprintf("at-%s-%d", tenant, p.redeemed[tenant]), "of-"+tenant, p.life)
	}

	p.rotated = n + 1

	return 200, granted(fmt.Sprintf("at-home-%d", p.rotated), fmt.Sprintf("rt-%s-%d", name, p.rotated), p.life)
}

// newSignIn makes the tokens of another sign-in the only good ones.
func (p *provider) newSignIn(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.signIn = name
	p.rotated = 0
}

func (p *provider) count(tenant string) int {
	p.mu.Lock()
	defer p.mu.Unlock()

	return p.redeemed[tenant]
}

// requests returns how many requests a tenant got.
func (p *provider) requests(tenant string) (n int) {
	for _, a := range p.sent() {
		if strings.HasPrefix(a.path, "/"+tenant+"/") {
			n++
		}
	}

	return n
}

func (p *provider) heldUp() int {
	p.mu.Lock()
	defer p.mu.Unlock()

	return p.holding
}

// world is a provider, its store and the log of its Keeper.
type world struct {
	t        *testing.T
	provider *provider
	store    *tokenstest.Store
	keeper   *tokens.Keeper
	log      bytes.Buffer
	lock     sync.Mutex
}

// Write makes the world the destination of its log.
func (w *world) Write(b []byte) (int, error) {
	w.lock.Lock()
	defer w.lock.Unlock()

	return w.log.Write(b)
}

func (w *world) logged() string {
	w.lock.Lock()
	defer w.lock.Unlock()

	return w.log.String()
}

func newHomeWorld(t *testing.T) *world {
	t.Helper()

	w := &world{t: t, provider: newProvider(), store: tokenstest.New()}
	w.restart()
	w.signIn("a")

	return w
}

// restart forgets what the process knew.
func (w *world) restart() {
	w.keeper = tokens.NewKeeper(w.store, slog.New(slog.NewTextHandler(w, nil)))
	w.keeper.LogEnds()
}

// signIn is a person's sign-in at home, with another process.
func (w *world) signIn(name string) {
	w.t.Helper()
	w.provider.newSignIn(name)

	err := tokens.Adopt(context.Background(), w.store, w.key(), tokens.SignIn{
		Refresh: secret.New("rt-" + name + "-0"),
		Account: "soc@provider.test",
		Home:    true,
		At:      time.Now(),
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) key() tokens.ChainKey { return tokens.NewChainKey(loginURL, home, client) }

func (w *world) chain() tokens.Chain {
	w.t.Helper()

	c, _, err := w.store.Load(context.Background(), w.key())
	if err != nil {
		w.t.Fatal(err)
	}

	return c
}

func (w *world) config(tenant string) tokens.SourceConfig {
	a := app(tokens.V2)
	a.TenantID = tenant
	a.Home = home

	return tokens.SourceConfig{
		App:          a,
		Store:        w.keeper,
		HTTP:         w.provider.client(),
		HomeResource: "https://graph.home.test",
	}
}

// customer returns the source of a customer's tokens.
func (w *world) customer(n int) *tokens.Source {
	w.t.Helper()
	return newSource(w.t, w.config(customerID(n)))
}

func (w *world) customers(n int) []*tokens.Source {
	w.t.Helper()

	list := make([]*tokens.Source, n)
	for i := range list {
		list[i] = w.customer(i)
	}

	return list
}

func customerID(n int) string { return fmt.Sprintf("%08d-0000-4000-8000-000000000000", n) }

// all asks every source for a token at the same moment.
func all(t *testing.T, sources []*tokens.Source) []error {
	t.Helper()

	errs := make([]error, len(sources))

	var wg sync.WaitGroup
	for i, s := range sources {
		wg.Go(func() { _, errs[i] = s.Token(t.Context()) })
	}

	wg.Wait()

	return errs
}

// mostPerSecond returns how many requests were made within the worst second.
func mostPerSecond(times []time.Time) (most int) {
	slices.SortFunc(times, time.Time.Compare)

	for i := range times {
		n := 0
		for j := i; j < len(times) && times[j].Sub(times[i]) < time.Second; j++ {
			n++
		}

		most = max(most, n)
	}

	return most
}

// TestOneChainServesAllCustomersForDays: redemptions are spread, and home is asked once a
// day only.
func TestOneChainServesAllCustomersForDays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHomeWorld(t)
		sources := w.customers(40)

		const days = 3
		for range days * 24 * 4 {
			for i, err := range all(t, sources) {
				if err != nil {
					t.Fatalf("customer %d: %v", i, err)
				}
			}

			time.Sleep(15 * time.Minute)
		}

		if n := w.provider.count(home); n != days {
			t.Errorf("home was asked %d times in %d days", n, days)
		}

		if n := mostPerSecond(w.provider.times); n > 5 {
			t.Errorf("%d redemptions within a second", n)
		}

		c := w.chain()
		if c.Refresh.Reveal() != "rt-a-3" || !c.Home || c.Confirmed.IsZero() || !c.Dead.IsZero() {
			t.Errorf("chain %+v with %s", c, c.Refresh.Reveal())
		}

		// An hour's life, renewed five minutes before its end, and asked for every
		// quarter of an hour.
		if n := w.provider.count(customerID(7)); n < days*24 || n > days*33 {
			t.Errorf("a customer's endpoint was asked %d times", n)
		}
	})
}

// TestACustomersRefusalConcernsNobodyElse, whatever its code.
func TestACustomersRefusalConcernsNobodyElse(t *testing.T) {
	for reason, codes := range map[advice.Reason][]int{
		advice.ConsentMissing:    {90099, 700016, 65001, 650051, 65002, 65004},
		advice.GDAPEnded:         {50020, 50034, 50177, 90072},
		advice.SessionControl:    {50178, 50158},
		advice.ConditionalAccess: {53003, 530003, 530036, 53000, 53999},
		advice.MFARequired:       {50076, 50078, 50079, 70043, 50071},
		advice.TenantGone:        {5000224, 90002},
		advice.TokenDead:         {700082, 70008, 50173, 50133, 70000},
	} {
		for _, code := range codes {
			t.Run(fmt.Sprint(code), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { refuseOneCustomer(t, code, reason) })
			})
		}
	}
}

// refuseOneCustomer refuses the first of three customers with a code.
func refuseOneCustomer(t *testing.T, code int, reason advice.Reason) {
	t.Helper()

	w := newHomeWorld(t)
	w.provider.refuse(customerID(0), code)
	sources := w.customers(3)

	for range 3 {
		errs := all(t, sources)
		if errs[1] != nil || errs[2] != nil {
			t.Errorf("others are refused: %v", errs[1:])
		}

		var e *tokens.Error
		if !errors.As(errs[0], &e) || e.Reason != reason || e.Fate.ExitCode() != 4 || e.Dead() {
			t.Errorf("got %v (%s, exit %d); want %s, exit 4", errs[0], e.Reason, e.Fate.ExitCode(), reason)
		}

		if e.Scope != advice.ScopeCustomer || e.Code != code && code != 53999 && code != 50071 {
			t.Errorf("scope %v, code %d", e.Scope, e.Code)
		}

		if strings.Contains(e.Remedy, "guest (B2B)") || e.Remedy == "" {
			t.Errorf("remedy %q", e.Remedy)
		}

		time.Sleep(time.Minute)
	}

	if c := w.chain(); !c.Dead.IsZero() {
		t.Errorf("the chain is dead: %v", c.Dead)
	}

	// The sign-in at home was this very minute. That counts, but where it may have ended
	// since.
	want := 0
	if reason == advice.TokenDead {
		want = 1
	}

	if n := w.provider.requests(home); n != want {
		t.Errorf("home was asked %d times", n)
	}

	if w.logged() != "" {
		t.Errorf("logged %s", w.logged())
	}
}

func TestHomeIsAskedBeforeAChainIsDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHomeWorld(t)
		w.provider.refuse(customerID(0), 700082)
		s := w.customer(0)

		time.Sleep(2 * time.Hour)

		for range 100 {
			if e := fails(t, s); e.Reason != advice.TokenDead || e.Fate != advice.NotAuthorised {
				t.Fatalf("got %v", e)
			}

			time.Sleep(time.Minute)
		}

		if n := w.provider.count(home); n != 2 {
			t.Errorf("home was asked %d times in 100 minutes", n)
		}

		if c := w.chain(); !c.Dead.IsZero() || c.Refresh.Reveal() != "rt-a-2" {
			t.Errorf("chain %s, %v", c.Refresh.Reveal(), c.Dead)
		}

		w.provider.refuse(customerID(0), 0)

		if got := token(t, s); got != "at-"+customerID(0)+"-1" {
			t.Errorf("got %s", got)
		}
	})
}

// TestTheEndOfTheChainIsSaidOnce, for all customers, and a new sign-in by another
// process brings all back.
func TestTheEndOfTheChainIsSaidOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHomeWorld(t)
		sources := w.customers(30)
		allSucceed(t, sources)

		time.Sleep(2 * time.Hour) // the access tokens have ended
		w.provider.newSignIn("b") // and the password has changed

		before := len(w.provider.sent())

		for range 3 {
			allSayThatTheChainIsDead(t, sources)
		}

		// Those whose requests were on their way when home was asked; none since.
		if n := len(w.provider.sent()) - before; n > 12 || w.provider.requests(home) != 1 {
			t.Errorf("%d requests, %d of them at home", n, w.provider.requests(home))
		}

		if n := strings.Count(w.logged(), "\n"); n != 1 || !strings.Contains(w.logged(), "level=ERROR") {
			t.Errorf("%d lines:\n%s", n, w.logged())
		}

		w.signIn("b")

		for i, s := range sources {
			if !s.Changed(t.Context()) {
				t.Fatalf("customer %d does not see the new sign-in", i)
			}
		}

		start := time.Now()

		allSucceed(t, sources)

		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("30 customers are back after %v", took)
		}
	})
}

func allSucceed(t *testing.T, sources []*tokens.Source) {
	t.Helper()

	for i, err := range all(t, sources) {
		if err != nil {
			t.Fatalf("customer %d: %v", i, err)
		}
	}
}

func allSayThatTheChainIsDead(t *testing.T, sources []*tokens.Source) {
	t.Helper()

	for i, err := range all(t, sources) {
		var e *tokens.Error
		if !errors.As(err, &e) || e.Reason != advice.ChainDead || e.Fate.ExitCode() != 3 {
			t.Fatalf("customer %d: %v", i, err)
		}

		if !strings.Contains(e.Remedy, "acquire --home-tenant-id "+home) || sources[i].Changed(t.Context()) {
			t.Errorf("remedy %q, changed %v", e.Remedy, sources[i].Changed(t.Context()))
		}
	}
}

func TestAChainThatEndsSoonAfterHomeAcceptedIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHomeWorld(t)
		sources := w.customers(20)

		got := make([]tokens.Access, len(sources))
		for i, s := range sources {
			var err error
			if got[i], err = s.Token(t.Context()); err != nil {
				t.Fatal(err)
			}
		}

		w.provider.newSignIn("b")

		for i, s := range sources {
			s.Invalidate(got[i]) // the API answered 401
		}

		for i, err := range all(t, sources) {
			var e *tokens.Error
			if !errors.As(err, &e) || e.Reason != advice.ChainDead {
				t.Errorf("customer %d: %v", i, err)
			}
		}

		if n := w.provider.requests(home); n != 1 {
			t.Errorf("home was asked %d times", n)
		}
	})
}

// TestCustomersThatAreWrongTogetherDoNotFloodHome, when they call ended what is not.
func TestCustomersThatAreWrongTogetherDoNotFloodHome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHomeWorld(t)
		sources := w.customers(100)

		for i := range sources {
			w.provider.refuse(customerID(i), 50173)
		}

		start := time.Now()

		for i, err := range all(t, sources) {
			var e *tokens.Error
			if !errors.As(err, &e) || e.Reason == advice.ChainDead {
				t.Errorf("customer %d: %v", i, err)
			}
		}

		// Once every half minute.
		if n, took := w.provider.requests(home), time.Since(start); n > 2+int(took/(30*time.Second)) {
			t.Errorf("home was asked %d times in %v", n, took)
		}
	})
}

// TestWhoWaitsForAPlaceSendsTheNewestToken: a person signs in while most customers wait.
func TestWhoWaitsForAPlaceSendsTheNewestToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHomeWorld(t)
		sources := w.customers(40)

		go func() {
			time.Sleep(500 * time.Millisecond)
			w.signIn("b")
		}()

		for i, err := range all(t, sources) {
			if err != nil {
				t.Errorf("customer %d: %v", i, err)
			}
		}

		if n := len(w.provider.sent()); n != len(sources) {
			t.Errorf("%d requests for %d customers", n, len(sources))
		}
	})
}

// TestANewSignInWinsOverRedemptionsInFlight with the token before it.
func TestANewSignInWinsOverRedemptionsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHomeWorld(t)
		sources := w.customers(50)
		w.provider.hold = make(chan struct{})

		done := make(chan []error)
		go func() { done <- all(t, sources) }()

		time.Sleep(40 * time.Second) // a place is free again when an answer is long in coming
		synctest.Wait()

		if n := w.provider.heldUp(); n != 50 {
			t.Errorf("%d redemptions are in flight", n)
		}

		w.signIn("b")
		close(w.provider.hold)

		for i, err := range <-done {
			if err != nil {
				t.Errorf("customer %d: %v", i, err)
			}
		}

		if c := w.chain(); c.Refresh.Reveal() != "rt-b-0" || !c.Dead.IsZero() {
			t.Errorf("stored is %s, %v", c.Refresh.Reveal(), c.Dead)
		}

		if n := w.provider.requests(home); n != 0 {
			t.Errorf("home was asked %d times", n)
		}
	})
}

// TestASlowAnswerOfHomeDoesNotReplaceANewSignIn, even of one who takes no lock.
func TestASlowAnswerOfHomeDoesNotReplaceANewSignIn(t *testing.T) {
	for name, code := range map[string]int{"which rotates": 0, "which ends the chain": 700082} {
		t.Run(name, func(t *testing.T) {
			w := newHomeWorld(t)
			w.provider.set(func(a asked) (int, string) {
				// While the answer is on its way.
				err := w.store.Save(t.Context(), w.key(), tokens.Chain{
					Refresh:  secret.New("of-a-person"),
					Obtained: time.Now(),
				})
				if err != nil {
					t.Error(err)
				}

				if code != 0 {
					return 400, refusal("invalid_grant", code)
				}

				return w.provider.reply(a)
			})

			cfg := w.config(home)
			s := newSource(t, cfg)

			_, err := s.Token(t.Context())

			var e *tokens.Error
			if (err == nil) != (code == 0) || err != nil && (!errors.As(err, &e) || e.Fate != advice.TryAgain) {
				t.Errorf("got %v", err)
			}

			if c := w.chain(); c.Refresh.Reveal() != "of-a-person" || !c.Dead.IsZero() {
				t.Errorf("stored is %s, %v", c.Refresh.Reveal(), c.Dead)
			}
		})
	}
}

// TestTooManyRedemptionsPauseTheWholeChain (AADSTS50196): no request is made meanwhile.
func TestTooManyRedemptionsPauseTheWholeChain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHomeWorld(t)
		w.provider.refuse(customerID(0), 50196)
		sources := w.customers(3)

		if e := fails(t, sources[0]); e.Reason != advice.Throttled {
			t.Fatalf("got %v", e)
		}

		sources = append(sources, newSource(t, w.config(home)))
		for _, s := range sources {
			if e := fails(t, s); e.Reason != advice.Throttled || e.RetryAfter <= 0 || e.RetryAfter > 15*time.Minute {
				t.Errorf("got %v, again after %v", e, e.RetryAfter)
			}
		}

		if n := len(w.provider.sent()); n != 1 {
			t.Errorf("%d requests", n)
		}

		time.Sleep(15 * time.Minute)
		w.provider.refuse(customerID(0), 0)

		for i, err := range all(t, sources) {
			if err != nil {
				t.Errorf("source %d: %v", i, err)
			}
		}
	})
}

// TestAWrongSecretIsNotSentForEachCustomer: it is the same for all.
func TestAWrongSecretIsNotSentForEachCustomer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHomeWorld(t)
		sources := w.customers(100)

		for i := range sources {
			w.provider.refuse(customerID(i), 7000222)
		}

		for range 4 {
			for i, err := range all(t, sources) {
				var e *tokens.Error
				if !errors.As(err, &e) || e.Reason != advice.CredentialExpired {
					t.Fatalf("customer %d: %v", i, err)
				}
			}

			time.Sleep(5 * time.Second)
		}

		// Those that were asked at the same moment as the first: no more have a place.
		if n := len(w.provider.sent()); n > 5 {
			t.Errorf("%d requests", n)
		}
	})
}

// TestASecondSecretTakesAPlaceToo: while a secret is rotated, a redemption may send two
// requests.
func TestASecondSecretTakesAPlaceToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHomeWorld(t)
		current := "old"
		secrets := tokens.Secret(func() (secret.Text, error) { return secret.New(current), nil })

		w.provider.set(func(a asked) (int, string) {
			if a.form.Get("client_secret") == "old" {
				return w.provider.reply(a)
			}

			w.provider.note()

			return 401, refusal("invalid_client", 7000215)
		})

		var sources []*tokens.Source

		for i := range 30 {
			cfg := w.config(customerID(i))
			cfg.App.Credential = secrets
			sources = append(sources, newSource(t, cfg))
		}

		for _, value := range []string{"old", "not-known-yet"} {
			current = value

			for i, err := range all(t, sources) {
				if err != nil {
					t.Errorf("customer %d: %v", i, err)
				}
			}

			time.Sleep(2 * time.Hour)
		}

		if n := mostPerSecond(w.provider.times); n > 5 || len(w.provider.times) < 90 {
			t.Errorf("%d of %d requests within a second", n, len(w.provider.times))
		}
	})
}

// TestARenewalWaitsForNobody while the token at hand serves: all tokens were got in the
// same minute, and end in the same minute.
func TestARenewalWaitsForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHomeWorld(t)
		sources := w.customers(300)

		for i, err := range all(t, sources) {
			if err != nil {
				t.Fatalf("customer %d: %v", i, err)
			}
		}

		time.Sleep(50 * time.Minute)

		for range 10 {
			start := time.Now()

			for i, err := range all(t, sources) {
				if err != nil {
					t.Errorf("customer %d: %v", i, err)
				}
			}

			if took := time.Since(start); took > 0 {
				t.Errorf("a renewal held somebody up for %v", took)
			}

			time.Sleep(time.Minute)
		}

		// Those that had no chance to renew in time wait, as at the start.
		renewed := 0

		for i := range sources {
			if w.provider.count(customerID(i)) == 2 {
				renewed++
			}
		}

		if renewed < 25 || mostPerSecond(w.provider.times) > 5 {
			t.Errorf("%d of 300 were renewed in time; %d within a second", renewed, mostPerSecond(w.provider.times))
		}
	})
}

// TestLiveAccessTokensSurviveARestart without a redemption, but not a new sign-in.
func TestLiveAccessTokensSurviveARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHomeWorld(t)
		all(t, append(w.customers(20), newSource(t, w.config(home))))

		before := len(w.provider.sent())

		time.Sleep(10 * time.Minute)
		w.restart()

		for i, err := range all(t, append(w.customers(20), newSource(t, w.config(home)))) {
			if err != nil {
				t.Errorf("source %d: %v", i, err)
			}
		}

		if n := len(w.provider.sent()); n != before {
			t.Errorf("%d requests after the restart", n-before)
		}

		w.signIn("b")
		w.restart()

		if s := w.customer(1); token(t, s) != "at-"+customerID(1)+"-2" {
			t.Error("the token of an earlier sign-in is used")
		}

		time.Sleep(2 * time.Hour)
		w.restart()

		if s := w.customer(1); token(t, s) != "at-"+customerID(1)+"-3" {
			t.Error("a token that has ended is used")
		}
	})
}

// TestOneRedemptionServesAllAPIsOfAResource, and never two at once.
func TestOneRedemptionServesAllAPIsOfAResource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHomeWorld(t)

		for i, err := range all(t, []*tokens.Source{w.customer(0), w.customer(0), w.customer(0)}) {
			if err != nil {
				t.Errorf("source %d: %v", i, err)
			}
		}

		if n := w.provider.count(customerID(0)); n != 1 {
			t.Errorf("%d redemptions", n)
		}

		w.provider.refuse(customerID(1), 53003)

		for i, err := range all(t, []*tokens.Source{w.customer(1), w.customer(1), w.customer(1)}) {
			var e *tokens.Error
			if !errors.As(err, &e) || e.Reason != advice.ConditionalAccess {
				t.Errorf("source %d: %v", i, err)
			}
		}

		if n := w.provider.requests(customerID(1)); n != 1 {
			t.Errorf("%d refused redemptions", n)
		}
	})
}

// TestASeedBeginsTheHomeChainOnce, however many customers have it.
func TestASeedBeginsTheHomeChainOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, provider: newProvider(), store: tokenstest.New()}
		w.restart()

		if e := fails(t, w.customer(0)); e.Reason != advice.ChainDead || len(w.provider.sent()) != 0 {
			t.Errorf("without a sign-in: %v", e)
		}

		var sources []*tokens.Source

		for i := range 20 {
			cfg := w.config(customerID(i))
			cfg.Seed = seed("rt-a-0")
			cfg.TenantName = "customer's name"
			sources = append(sources, newSource(t, cfg))
		}

		for range 2 {
			for i, err := range all(t, sources) {
				if err != nil {
					t.Fatalf("customer %d: %v", i, err)
				}
			}

			time.Sleep(2 * time.Hour)
		}

		if n := w.provider.count(home); n != 1 {
			t.Errorf("home was asked %d times", n)
		}

		if c := w.chain(); c.Refresh.Reveal() != "rt-a-1" || c.TenantName != "" || !c.Home {
			t.Errorf("chain %+v", c)
		}
	})
}

// TestARotationThatFailsStopsNobody, is said once, and is made up for.
func TestARotationThatFailsStopsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHomeWorld(t)
		sources := w.customers(3)
		w.provider.refuse(home, 90033)

		for range 26 * 4 {
			for i, err := range all(t, sources) {
				if err != nil {
					t.Fatalf("customer %d: %v", i, err)
				}
			}

			time.Sleep(15 * time.Minute)
		}

		if n := strings.Count(w.logged(), "\n"); n != 1 || !strings.Contains(w.logged(), "level=WARN") {
			t.Errorf("%d lines:\n%s", n, w.logged())
		}

		w.provider.refuse(home, 0)
		time.Sleep(15 * time.Minute)
		all(t, sources)

		if c := w.chain(); c.Refresh.Reveal() != "rt-a-1" {
			t.Errorf("stored is %s", c.Refresh.Reveal())
		}
	})
}

// TestMultiFactorAtHomeConcernsTheWholeChain: it is not dead, and a person is needed.
func TestMultiFactorAtHomeConcernsTheWholeChain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHomeWorld(t)

		time.Sleep(2 * time.Hour)

		for _, tenant := range []string{home, customerID(0), customerID(1)} {
			w.provider.refuse(tenant, 50076)
		}

		sources := w.customers(2)
		for range 3 {
			for i, err := range all(t, sources) {
				var e *tokens.Error
				if !errors.As(err, &e) || e.Reason != advice.MFARequired || e.Fate.ExitCode() != 3 ||
					e.Scope != advice.ScopeChain {
					t.Fatalf("customer %d: %v", i, err)
				}
			}

			time.Sleep(time.Minute)
		}

		if c := w.chain(); !c.Dead.IsZero() || w.provider.requests(home) != 1 {
			t.Errorf("dead %v; home was asked %d times", c.Dead, w.provider.requests(home))
		}
	})
}
