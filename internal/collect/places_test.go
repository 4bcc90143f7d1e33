package collect

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/defender"
	"fluent-bit-defender/internal/pause"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/tick"
	"fluent-bit-defender/tokens"
)

// slowly reads an API whose answer never ends: a blank comes every so often, or nothing
// at all. It lasts for ever, or until an end.
func slowly(t *testing.T, every time.Duration, end ...time.Time) defender.Reader {
	reader, err := defender.NewReader(alert.SIEM, defender.Settings{
		BaseURL:     "http://slow.test",
		HTTP:        &http.Client{Transport: slowServer{every, end}},
		Tokens:      anyToken{},
		IdleTimeout: 1000 * time.Hour,
		Now:         time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}

	return reader
}

type anyToken struct{}

func (anyToken) Token(context.Context) (tokens.Access, error) { return tokens.Access{}, nil }
func (anyToken) Invalidate(tokens.Access)                     {}

// slowServer answers with a slowBody, or with an empty list after its end.
type slowServer struct {
	every time.Duration
	end   []time.Time
}

func (s slowServer) RoundTrip(req *http.Request) (*http.Response, error) {
	res := &http.Response{StatusCode: 200, Header: http.Header{}, Request: req}
	res.Body = io.NopCloser(&slowBody{server: s, ctx: req.Context(), list: strings.NewReader("[]")})

	return res, nil
}

type slowBody struct {
	server slowServer
	ctx    context.Context
	list   io.Reader
}

func (b *slowBody) Read(p []byte) (int, error) {
	s := b.server
	switch {
	case len(s.end) > 0 && time.Now().After(s.end[0]):
		return b.list.Read(p)
	case s.every == 0:
		<-b.ctx.Done()
	default:
		_ = pause.For(b.ctx, s.every)
	}

	p[0] = ' '

	return 1, b.ctx.Err()
}

// crowd is an input with slow tenants beside a healthy one.
type crowd struct {
	in      *Input
	chunk   *chunks
	healthy *tenantAPI
	log     lines
	began   time.Time
}

// newCrowd makes an input of this many places whose slow tenants poll before the
// healthy one.
func newCrowd(t *testing.T, places int, slow ...defender.Reader) *crowd {
	c := &crowd{chunk: &chunks{}, healthy: newRig(t, 3).api}

	c.in = NewInput(Config{
		Store:          newMemory(),
		Now:            time.Now,
		BufferLimit:    1 << 20,
		MaxConcurrency: places,
		Log:            slog.New(&c.log),
	})
	for i, reader := range slow {
		c.add(fmt.Sprintf("slow%d", i), reader)
	}

	c.add("healthy", c.healthy)

	return c
}

func (c *crowd) add(name string, reader defender.Reader) {
	c.in.Add(c.unit(name, reader))
}

func (c *crowd) unit(name string, reader defender.Reader) UnitConfig {
	rules := alert.Rules{API: alert.SIEM, TenantID: alert.TenantID(name), Updates: true}

	return UnitConfig{
		Key:          alert.UnitKey{TenantID: alert.TenantID(name), API: "siem"},
		Name:         name,
		PollInterval: 10 * time.Second,
		Lookback:     time.Hour,
		Overlap:      10 * time.Minute,
		Identifier:   identifierOf(rules),
		Reader:       reader,
		Encoder:      encoderOf(rules),
		SignIn:       func(context.Context) error { return nil },
	}
}

// run lets the input work while what happens, ticking once a second.
func (c *crowd) run(t *testing.T, what func()) {
	ctx, cancel := context.WithCancel(t.Context())
	c.began = time.Now()
	c.in.Start()

	go func() {
		for ctx.Err() == nil {
			c.in.Delivery.Tick(c.chunk.append, time.Second)
			_ = pause.For(ctx, time.Second)
		}
	}()

	what()

	cancel()

	if err := c.in.Stop(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestTenantsThatHangOrDripHoldUpNoOther(t *testing.T) {
	for _, n := range []int{8, 40} {
		t.Run(fmt.Sprintf("%d of each", n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var slow []defender.Reader
				for range n {
					slow = append(slow, slowly(t, 0), slowly(t, 2*time.Second))
				}

				c := newCrowd(t, 8, slow...)
				c.run(t, func() {
					time.Sleep(30 * time.Second) // the slow ones have come in the meantime

					for i := range 60 {
						c.healthy.add(fmt.Sprint(i), time.Now(), time.Now())
						time.Sleep(20*time.Second + time.Duration(i%10)*time.Second)

						if len(c.chunk.counts()) != i+1 {
							t.Errorf("alert %d is not there after two intervals", i)
						}
					}
				})
			})
		})
	}
}

// TestASharedSignInIsAwaitedWithoutAPlace: five customers a second are through, and each
// of them is polled at once, not after all others had their two seconds with a place.
func TestASharedSignInIsAwaitedWithoutAPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const customers = 200

		c := newCrowd(t, 20)
		one := make(chan struct{}, 1)

		for i := range customers {
			u := c.unit(fmt.Sprintf("customer%03d", i), newRig(t, 1).api)
			u.HomeTenantID = "home"
			signedIn := false
			u.SignIn = func(ctx context.Context) error {
				if signedIn {
					return nil
				}

				one <- struct{}{}

				err := pause.For(ctx, 200*time.Millisecond)

				<-one

				signedIn = true

				return err
			}
			c.in.Add(u)
		}

		c.run(t, func() {
			for _, seconds := range []int{10, 20, 40} {
				time.Sleep(time.Duration(seconds)*time.Second - time.Since(c.began))

				polled := 0

				for _, s := range c.in.Statuses() {
					if !s.LastSuccess.IsZero() {
						polled++
					}
				}

				if want := seconds*5 - 20; polled < min(want, customers) {
					t.Errorf("%d customers are polled after %d s, want %d", polled, seconds, want)
				}
			}
		})
	})
}

func TestAPollThatTakesManyIntervalsIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 8, slowly(t, 0), slowly(t, 2*time.Second))
		c.run(t, func() {
			time.Sleep(30 * time.Second)

			for key, s := range c.in.Statuses() {
				if s.State == "failing" {
					t.Errorf("%s is failing after half a minute", key.TenantID)
				}
			}

			time.Sleep(time.Hour)

			for key, s := range c.in.Statuses() {
				if slow := key.TenantID != "healthy"; slow != (s.State == "failing") ||
					slow != strings.Contains(s.Message, "too slow") {
					t.Errorf("%s: state %q, reason %q", key.TenantID, s.State, s.Message)
				}
			}
		})

		if logged := c.log.important(); len(logged) != 2 {
			t.Errorf("want a line for each slow tenant, got\n%s", strings.Join(logged, "\n"))
		}
	})
}

func TestAPollThatWaitsForFluentBitIsNotTooSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 6)
		r.limit = 2000

		begin, on := time.Now(), true
		for i := range 200 {
			r.api.add(fmt.Sprint(i), begin, begin)
		}

		r.chunk.refuse = func([]string) bool { return on }
		tenant := r.start()

		time.Sleep(time.Hour)

		if s := tenant.snapshot(); s.State == "failing" {
			t.Errorf("failing: %s", s.Message)
		}

		r.change(func() { on = false })
		time.Sleep(10 * time.Minute)
		r.stop()
		r.want(200, 1)
	})
}

func TestAPollThatCannotStartShowsWhatItWaitsFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 1, slowly(t, 0), slowly(t, 0))
		c.in.places.away = 1 << 20 // as when too many wait without a place already
		c.run(t, func() {
			time.Sleep(2 * time.Minute)

			for key, s := range c.in.Statuses() {
				if s.State != "failing" {
					t.Errorf("%s: state %q", key.TenantID, s.State)
				}

				if key.TenantID == "healthy" && !strings.Contains(s.Message, "max_concurrency") {
					t.Errorf("reason %q", s.Message)
				}
			}
		})
	})
}

func TestASlowPollThatEndsIsLoggedAndNoLongerFailing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 5)
		r.cfg.HealthInterval = time.Hour
		r.cfg.Reader = slowly(t, time.Second, time.Now().Add(20*time.Minute))
		tenant := r.start()

		time.Sleep(19 * time.Minute)

		if s := tenant.snapshot(); s.State != "failing" {
			t.Errorf("state %q while the poll is slow", s.State)
		}

		time.Sleep(10 * time.Minute)

		if s := tenant.snapshot(); s.State != "ok" {
			t.Errorf("state %q, reason %q after it has ended", s.State, s.Message)
		}

		r.stop()

		text := strings.Join(r.logged(), "\n")
		if strings.Count(text, "too slow") != 1 || strings.Count(text, "works again") != 1 {
			t.Errorf("logged\n%s", text)
		}

		n := len(r.chunk.health)
		if n < 2 || !strings.Contains(r.chunk.health[0], "failing") ||
			strings.Contains(r.chunk.health[n-1], "failing") {
			t.Errorf("health records\n%s", strings.Join(r.chunk.health, "\n"))
		}
	})
}

// Half of the requests of a backlog of many pages fail: a back-off that knew only
// complete polls would grow to minutes.
func TestAPollThatMovedOnStartsTheBackOffAnew(t *testing.T) {
	const pages = 60

	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 5)
		r.cfg.SweepInterval = 0
		requests := 0
		r.cfg.Reader = readerFunc(func(ctx context.Context, w defender.Window, sink defender.Sink) error {
			from := w.Now - tick.FromDuration(r.cfg.Lookback)
			for page := range pages {
				at := from + tick.Tick(page+1)*tick.Minute
				if at <= w.From {
					continue
				}

				if requests++; requests%2 == 0 {
					return &defender.Error{Fault: advice.Fault{Problem: "answered 503 (server error)"}, Status: 503}
				}

				if err := sink.Safe(at); err != nil {
					return err
				}
			}

			return nil
		})
		begin := time.Now()

		tenant := r.start()
		for tenant.snapshot().LastSuccess.IsZero() {
			time.Sleep(time.Second)
		}

		if took := time.Since(begin); took > 90*time.Second {
			t.Errorf("the first complete poll took %v", took)
		}

		r.stop()
	})
}

func TestRowsThatAreRepeatedDoNotStartTheBackOffAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 5)

		begin := time.Now()
		for i := range 10 {
			r.api.add(fmt.Sprint(i), begin, begin)
		}

		r.api.fail = func(row int) error { // the answer always breaks off at its end
			if row == 10 {
				return &defender.Error{Fault: advice.Fault{Problem: "the answer broke off"}, Smaller: true}
			}

			return nil
		}
		r.start()
		time.Sleep(time.Hour)
		r.stop()

		if n := r.reads(); n > 40 {
			t.Errorf("%d requests in an hour to an API that always fails", n)
		}
	})
}

// inOrder makes Shuffle leave everything where it is.
type inOrder struct{}

func (inOrder) Uint64() uint64 { return 1<<64 - 1 }

func TestLateAlertsAreOneLinePerPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 5)
		r.cfg.Overlap = time.Minute
		r.start()
		time.Sleep(2*time.Hour + betweenTicks)

		const n = 60
		for i := range n { // in ascending order of lateness
			r.api.add(fmt.Sprint(i), time.Now().Add(-time.Duration(i)*time.Second-5*time.Minute), time.Now())
		}

		r.change(func() { r.api.rng = rand.New(inOrder{}) })
		time.Sleep(2 * time.Hour)
		r.stop()
		r.want(n, 1)

		if logged := strings.Count(strings.Join(r.logged(), "\n"), "after its update"); logged != 1 {
			t.Errorf("logged %d times", logged)
		}
	})
}

func TestDeferredWindowsAreTwoLinesPerPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 5)
		r.cfg.Reader = &deferringReader{n: 20}
		tenant := r.start()

		time.Sleep(time.Minute)

		if n := tenant.snapshot().Deferred; n != 20 {
			t.Errorf("%d are shown as deferred", n)
		}

		lines := r.logged()

		time.Sleep(time.Hour)
		r.stop()

		if n := count(lines, "ERROR "); n != 2 {
			t.Errorf("%d error lines:\n%s", n, strings.Join(lines, "\n"))
		}

		if n := count(r.log.important(), "INFO "); n != 1 {
			t.Errorf("%d lines say that they have been read:\n%s", n, strings.Join(r.logged(), "\n"))
		}
	})
}

// deferringReader defers n windows at its first read, and reads them afterwards.
type deferringReader struct{ n int }

func (r *deferringReader) Read(_ context.Context, w defender.Window, sink defender.Sink) error {
	for ; r.n > 0; r.n-- {
		to := w.From + tick.Tick(r.n)*tick.Second

		w := defender.Window{From: to - tick.Second, To: to}
		if err := sink.(defender.DeferringSink).Defer(w, "broken"); err != nil {
			return err
		}
	}

	return nil
}

func (r *deferringReader) ReadDeferred(context.Context, defender.Window, defender.Sink) error {
	return nil
}
func (r *deferringReader) Avoid(defender.Window) {}

// count is how many lines begin with this.
func count(lines []string, prefix string) (n int) {
	for _, line := range lines {
		if strings.HasPrefix(line, prefix) {
			n++
		}
	}

	return n
}

func TestAlertsDeliveredAtLastAreFewLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 7)
		for i := range 2000 {
			r.store.deferred[int64(i+1)] = store.Deferred{
				Kind:    store.RejectedEvent,
				Events:  rows(r, fmt.Sprint(i)),
				Reason:  rejectedReason,
				NextTry: time.Now(),
			}
		}

		r.start()
		time.Sleep(10 * time.Minute)
		r.stop()
		r.want(2000, 1)

		if n := strings.Count(strings.Join(r.logged(), "\n"), "that were deferred"); n == 0 || n > 3 {
			t.Errorf("%d lines", n)
		}
	})
}

func TestAStoreThatFailsIsLoggedEveryFifteenMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 7)
		r.store.unlisted = 40 // some 36 minutes
		r.start()
		time.Sleep(2 * time.Hour)
		r.stop()

		if n := count(r.logged(), "ERROR "); n < 2 || n > 4 {
			t.Errorf("%d error lines", n)
		}
	})
}
