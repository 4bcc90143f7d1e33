package collect

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/defender"
	"fluent-bit-defender/internal/pause"
	"fluent-bit-defender/internal/tick"
	"fluent-bit-defender/tokens"
)

// readerFunc is a Reader that is one function.
type readerFunc func(context.Context, defender.Window, defender.Sink) error

func (f readerFunc) Read(ctx context.Context, w defender.Window, s defender.Sink) error {
	return f(ctx, w, s)
}

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

// answersIn is a reader whose service takes its time.
type answersIn struct {
	after time.Duration
	defender.Reader
}

func (a answersIn) Read(ctx context.Context, w defender.Window, sink defender.Sink) error {
	time.Sleep(a.after)
	return a.Reader.Read(ctx, w, sink)
}

// sickReaders are the ways in which tenants fail, hang and drip.
func sickReaders(t *testing.T, of int) (list []defender.Reader) {
	faults := []error{
		&defender.Error{Fault: advice.Fault{Fate: advice.NeedsFix, Problem: "403"}, Status: 403},
		&defender.Error{Fault: advice.Fault{Problem: "503", RetryAfter: 20 * time.Second}, Status: 503},
		&defender.Error{Fault: advice.Fault{Problem: "cut"}, Smaller: true},
		&defender.Error{Fault: advice.Fault{Problem: "unreachable"}, Unreachable: true},
		errors.New("something else"),
	}

	for i := range of {
		fails := func(context.Context, defender.Window, defender.Sink) error { return faults[i%len(faults)] }
		list = append(list, readerFunc(fails), slowly(t, 0), slowly(t, 2*time.Second))
	}

	return list
}

// poisoned is a Reader whose API cannot answer one window until it is fixed.
type poisoned struct {
	*tenantAPI
	window   defender.Window
	fixed    time.Time
	avoided  []defender.Window
	deferred bool
}

func (p *poisoned) Read(ctx context.Context, w defender.Window, s defender.Sink) error {
	if !p.deferred && w.From <= p.window.From {
		p.deferred = true
		if err := s.(defender.DeferringSink).Defer(p.window, "HTTP 500 for this millisecond"); err != nil {
			return err
		}
	}

	return p.tenantAPI.Read(ctx, w, outside{s, p.window})
}

func (p *poisoned) ReadDeferred(ctx context.Context, w defender.Window, s defender.Sink) error {
	if time.Now().Before(p.fixed) {
		return &defender.Error{Fault: advice.Fault{Problem: "still broken"}, Status: 500}
	}

	return p.tenantAPI.Read(ctx, w, s)
}

func (p *poisoned) Avoid(w defender.Window) { p.avoided, p.deferred = append(p.avoided, w), true }

// outside drops the rows of a window.
type outside struct {
	defender.Sink
	w defender.Window
}

func (o outside) Row(raw []byte) error {
	if at := describeSIEM(raw).Updated; at >= o.w.From && at < o.w.To {
		return nil
	}

	return o.Sink.Row(raw)
}

// poison makes the window of one millisecond unreadable until it is fixed.
func (r *rig) poison(at, fixed time.Time) *poisoned {
	from := tick.FromTime(at)
	p := &poisoned{
		tenantAPI: r.api,
		window:    defender.Window{From: from, To: from + tick.Millisecond},
		fixed:     fixed,
	}
	r.cfg.Reader = p

	return p
}

// describeSIEM is what a row of the SIEM API says about itself.
func describeSIEM(raw []byte) alert.Row {
	d, err := alert.NewDescriber(alert.SIEM)
	if err != nil {
		panic(err)
	}

	return d.Describe(raw)
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

// dated is a reader whose answers carry a Date that is ahead of our clock by this much.
func (r *rig) dated(ahead time.Duration) {
	skew := new(Skew)
	r.cfg.Skew = skew
	r.cfg.Reader = readerFunc(func(ctx context.Context, w defender.Window, sink defender.Sink) error {
		skew.Note(time.Now().Add(ahead).Truncate(time.Second), time.Now())
		return r.api.Read(ctx, w, sink)
	})
}
