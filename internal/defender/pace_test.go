package defender

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/alert"
)

// dripping is a body that begins with start and then brings more, again and again.
type dripping struct {
	ctx         context.Context
	start, more string
	pause       time.Duration
}

func (d *dripping) Read(p []byte) (int, error) {
	if d.start != "" {
		n := copy(p, d.start)
		d.start = d.start[n:]

		return n, nil
	}

	select {
	case <-time.After(d.pause):
		return copy(p, d.more), nil
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	}
}

func (*dripping) Close() error { return nil }

// TestAnAnswerThatDripsIsGivenUp: by too few bytes, by no row, by too long a time in
// all, and a refusal after seconds. What is slow, but comes, is read.
func TestAnAnswerThatDripsIsGivenUp(t *testing.T) {
	blanks := strings.Repeat(" ", 600)
	for _, test := range []struct {
		name        string
		status      int
		start, more string
		pause       time.Duration
		took        time.Duration
		says        string
	}{
		{"a blank now and then", 200, "[", " ", 2 * time.Second, time.Minute, "sent less than 1024 bytes in 1m0s"},
		{"nothing any more", 200, "[", "", time.Hour, time.Minute, "sent nothing for 1m0s"},
		{"just above the least rate", 200, "[", blanks,
			25 * time.Second, 5 * time.Minute, "sent no whole alert in 5m0s"},
		{"a row that never ends", 200, `[{"a":"`, blanks,
			25 * time.Second, 5 * time.Minute, "sent no whole alert in 5m0s"},
		{"blanks in front", 200, "", blanks, time.Second, 5 * time.Minute, "sent no whole alert in 5m0s"},
		{"a small row again and again", 200, "[1", strings.Repeat(",1", 520), 25 * time.Second, time.Hour,
			"did not finish its answer within 1h0m0s"},
		{"a refusal", 403, `{"error":`, " ", time.Second, 10 * time.Second, "HTTP 403"},
		{"a redirect", 302, "", blanks, time.Second, 10 * time.Second, "redirect"},
		{"a fault of the service", 500, "", blanks, time.Second, 10 * time.Second, "server error"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := &http.Client{Transport: answering(func(r *http.Request) (*http.Response, error) {
					body := &dripping{r.Context(), test.start, test.more, test.pause}
					header := http.Header{"Location": {"https://elsewhere.example"}}

					return &http.Response{
						StatusCode: test.status,
						Header:     header,
						Body:       body,
						Request:    r,
					}, nil
				})}
				began := time.Now()
				err := slowReader(t, client).Read(t.Context(), lastHour(), discard{})
				took := time.Since(began)

				var e *Error
				if !errors.As(err, &e) || !strings.Contains(e.Error(), test.says) || took != test.took {
					t.Errorf("after %v: %v", took, err)
				}
			})
		})
	}
}

// slowReader makes a reader of the legacy exporter, with a timeout of a minute.
func slowReader(t *testing.T, client *http.Client) Reader {
	t.Helper()

	reader, err := NewReader(alert.SIEM, Settings{
		BaseURL:     "http://x.example",
		Path:        "/alerts",
		HTTP:        client,
		Tokens:      fixedToken("t"),
		Now:         time.Now,
		IdleTimeout: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}

	return reader
}

// TestASlowAnswerThatMovesOnIsRead: a kilobyte a minute, with a row now and then.
func TestASlowAnswerThatMovesOnIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parts := []string{"[1"}
		for range 20 {
			parts = append(parts, strings.Repeat(" ", leastBytes), ",2")
		}

		client := &http.Client{Transport: answering(func(r *http.Request) (*http.Response, error) {
			body := &slowly{ctx: r.Context(), parts: append(parts, "]"), pause: 25 * time.Second}

			return &http.Response{
				StatusCode: 200,
				Header:     http.Header{},
				Body:       body,
				Request:    r,
			}, nil
		})}

		rows := newBasket(t, alert.SIEM)
		if err := slowReader(t, client).Read(t.Context(), lastHour(), rows); err != nil || rows.total != 21 {
			t.Errorf("%d rows, %v", rows.total, err)
		}
	})
}

// TestHeadersThatDripAreGivenUp: over a real connection, whose headers never end, and
// one that sends interim answers only.
func TestHeadersThatDripAreGivenUp(t *testing.T) {
	for name, drip := range map[string]string{
		"a header line": "X-More: y\r\n",
		"interim":       "HTTP/1.1 103 Early Hints\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
					here, there := net.Pipe()
					go dripHeaders(there, drip)

					return here, nil
				}}
				defer transport.CloseIdleConnections()

				began := time.Now()

				err := slowReader(t, &http.Client{Transport: transport}).Read(t.Context(), lastHour(), discard{})
				if took := time.Since(began); err == nil || took > time.Minute {
					t.Errorf("after %v: %v", took, err)
				}

				time.Sleep(time.Minute) // until the other end has noticed, too
			})
		})
	}
}

// dripHeaders answers a request with one piece of its head after the other.
func dripHeaders(c net.Conn, piece string) {
	defer c.Close()

	if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
		return
	}

	if !strings.HasPrefix(piece, "HTTP/") {
		piece = "HTTP/1.1 200 OK\r\n" + piece
	}

	for {
		if _, err := io.WriteString(c, piece); err != nil {
			return
		}

		time.Sleep(2 * time.Second)

		piece = strings.TrimPrefix(piece, "HTTP/1.1 200 OK\r\n")
	}
}

// TestAnEmptyAnswerIsNamedAsSuch: not as one that is incomplete.
func TestAnEmptyAnswerIsNamedAsSuch(t *testing.T) {
	for _, api := range alert.APIs() {
		e := readError(t, api, func(http.ResponseWriter, *http.Request) {})
		if e.Fate != advice.TryAgain || !strings.Contains(e.Problem, "sent an empty answer") || e.Remedy == "" {
			t.Errorf("%s: %v", api, e)
		}
	}
}

// TestAnAnswerWithTooManyRowsIsCut: also of the API without pages, whose window is then
// halved.
func TestAnAnswerWithTooManyRowsIsCut(t *testing.T) {
	client := &http.Client{Transport: answering(func(r *http.Request) (*http.Response, error) {
		body := io.MultiReader(strings.NewReader("[1"), &repeating{text: strings.Repeat(",1", 500)})

		return &http.Response{
			StatusCode: 200,
			Header:     http.Header{},
			Body:       io.NopCloser(body),
			Request:    r,
		}, nil
	})}
	rows := newBasket(t, alert.SIEM)
	err := slowReader(t, client).Read(t.Context(), lastHour(), rows)

	var e *Error
	if !errors.As(err, &e) || !e.Smaller || !e.TooLarge || e.Remedy == "" || rows.total != maxRows {
		t.Errorf("after %d rows: %v", rows.total, err)
	}
}

// TestLargeRowsAreReadOneAtATime: the second waits until the sink has the first, and
// then comes whole.
func TestLargeRowsAreReadOneAtATime(t *testing.T) {
	large := `[{"a":"` + strings.Repeat("x", 9<<20) + `"},{"b":1}]`
	client := &http.Client{Transport: answering(func(r *http.Request) (*http.Response, error) {
		return &http.Response{
			StatusCode: 200,
			Header:     http.Header{},
			Body:       io.NopCloser(strings.NewReader(large)),
			Request:    r,
		}, nil
	})}

	inside, errs := make(chan struct{}, 1), make(chan error)

	for range 4 {
		go func() {
			rows := newBasket(t, alert.SIEM)
			rows.before = func(raw []byte) error {
				if len(raw) < 1<<20 {
					return nil
				}

				select {
				case inside <- struct{}{}:
				default:
					return errors.New("two large rows at the same time")
				}

				time.Sleep(time.Millisecond) // a chance for others to be wrong
				<-inside

				return nil
			}

			err := slowReader(t, client).Read(t.Context(), lastHour(), rows)
			if err == nil && rows.total != 2 {
				err = errors.New("rows are missing")
			}

			errs <- err
		}()
	}

	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

// A reader that is stopped while it waits for a large row must not release a place that
// it did not get.
func TestAReaderThatWaitsForALargeRowCanBeStopped(t *testing.T) {
	largeRows <- struct{}{}
	defer func() { <-largeRows }()

	large := `[{"a":"` + strings.Repeat("x", 9<<20) + `"}]`
	client := &http.Client{Transport: answering(func(r *http.Request) (*http.Response, error) {
		return &http.Response{
			StatusCode: 200,
			Header:     http.Header{},
			Body:       io.NopCloser(strings.NewReader(large)),
			Request:    r,
		}, nil
	})}
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stopping")
	waits := 0

	ctx = WithWaiting(ctx, func() func() {
		if waits++; waits == 5 { // sign-in and headers are behind, and the body does not look
			cancel(stop)
		}

		return func() {}
	})
	if err := slowReader(t, client).Read(ctx, lastHour(), discard{}); !errors.Is(err, stop) {
		t.Error(err)
	}
}

// FuzzWantsClaims: a challenge may be anything; one that holds the error is found
// whatever stands around it.
func FuzzWantsClaims(f *testing.F) {
	for _, s := range []string{`Bearer realm="", `, `Basic realm="a`, `DPoP a='b', `, ""} {
		f.Add(s)
	}

	f.Fuzz(func(t *testing.T, around string) {
		wantsClaims(http.Header{"Www-Authenticate": {around}})

		for _, e := range []string{
			`error="insufficient_claims"`, `ERROR = insufficient_claims`, `error='Insufficient_Claims'`,
			`error=\"insufficient_claims\"`,
		} {
			if !wantsClaims(http.Header{"Www-Authenticate": {"Basic", around + ", " + e + " " + around}}) {
				t.Errorf("%q %s", around, e)
			}
		}

		if wantsClaims(http.Header{"Www-Authenticate": {`Bearer error="invalid_token", error_description="no"`}}) {
			t.Error("found where there is none")
		}
	})
}
