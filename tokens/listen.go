package tokens

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"html"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"sync"
	"syscall"
	"time"

	"fluent-bit-defender/internal/secret"
)

// Callback waits on this machine for the browser to come back from a sign-in: RFC 8252
// section 7.3. It listens on 127.0.0.1 and ::1, since localhost may mean either to a
// browser. Only the first GET with the expected state is the answer; nothing else ends
// the wait.
//
// The browser gets its page when the code that it brought has been redeemed: only then
// is it known whether the sign-in succeeded, and who signed in.
type Callback struct {
	servers []*http.Server
	port    int
	// pageTimeout is how long a page waits for the code to be redeemed.
	pageTimeout time.Duration
	result      chan redirected
	// reported is closed when ending is set.
	reported chan struct{}

	mu       sync.Mutex // guards the fields below
	state    string     // the expected state; empty: none yet
	answered bool       // the answer has come
	ending   *page      // says how the sign-in ended
}

// page is what the browser shows. Its texts are escaped when it is written.
type page struct {
	status      int
	title, text string
}

// pageTimeout is how long a browser waits for its page; redeeming a code takes a second
// or two.
const pageTimeout = time.Minute

// redirected is what the browser brought.
type redirected struct {
	code secret.Text
	err  error
}

// Listen opens the port on both loopback addresses; 0 picks a free one. A machine
// without IPv6 listens on 127.0.0.1 alone; a port that somebody else holds on one of
// the two is an error, since the code could go to them.
func Listen(port int) (*Callback, error) {
	const tries = 16 // for a port that is free on both

	var err error

	for range tries {
		var c *Callback
		if c, err = listen(port); err == nil {
			return c, nil
		}

		if port != 0 || !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}

	return nil, fmt.Errorf(
		"listening for the browser on port %d: %w; choose another with --port, or use --paste",
		port,
		err,
	)
}

func listen(port int) (*Callback, error) {
	v4, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return nil, err
	}

	port = v4.Addr().(*net.TCPAddr).Port
	listeners := []net.Listener{v4}

	v6, err := net.Listen("tcp6", net.JoinHostPort("::1", strconv.Itoa(port)))
	switch {
	case err == nil:
		listeners = append(listeners, v6)
	case errors.Is(err, syscall.EADDRINUSE), errors.Is(err, syscall.EACCES):
		v4.Close()
		return nil, err
	}

	c := &Callback{
		port:        port,
		pageTimeout: pageTimeout,
		result:      make(chan redirected, 1),
		reported:    make(chan struct{}),
	}
	for _, l := range listeners {
		s := &http.Server{
			Handler:           http.HandlerFunc(c.serve),
			ReadHeaderTimeout: 10 * time.Second,
			ReadTimeout:       10 * time.Second,
			WriteTimeout:      pageTimeout + 10*time.Second,
			IdleTimeout:       10 * time.Second,
			MaxHeaderBytes:    64 << 10,
			ErrorLog:          log.New(io.Discard, "", 0),
		}
		s.SetKeepAlivesEnabled(false)

		c.servers = append(c.servers, s)
		go s.Serve(l) // ends with Close
	}

	return c, nil
}

// Port returns the port.
func (c *Callback) Port() int { return c.port }

// RedirectURI returns the address to send the browser back to. path is the one that was
// registered, "/" or "" for none.
func (c *Callback) RedirectURI(path string) string {
	if path == "" || path[0] != '/' {
		path = "/" + path
	}

	return "http://localhost:" + strconv.Itoa(c.port) + path
}

// Expect sets the state that the answer has to have. Call it before the person sees the
// address to open: a browser that is signed in already comes back at once, and requests
// before Expect are refused. The first answer after it is kept for Wait. A Callback
// serves one state and refuses another.
func (c *Callback) Expect(state string) error {
	if state == "" {
		return errors.New("tokens: a callback needs a state to know its answer by")
	}

	c.mu.Lock()
	defer c.mu.Unlock()

	if c.state != "" && !sameState(state, c.state) {
		return errors.New("tokens: this callback is for another sign-in")
	}

	c.state = state

	return nil
}

// Wait calls Expect and returns the code that comes with the state. A refusal by the
// service or the person is an *Error. Wait ends with ctx. A Callback serves one Wait.
// Whoever redeems the code calls report afterwards; ExchangeReturned does both.
func (c *Callback) Wait(ctx context.Context, state string) (secret.Text, error) {
	if err := c.Expect(state); err != nil {
		return secret.Text{}, err
	}

	select {
	case r := <-c.result:
		return r.code, r.err
	case <-ctx.Done():
	}

	select {
	case r := <-c.result: // it came in time, but this goroutine was late
		return r.code, r.err
	default:
		return secret.Text{}, ctx.Err()
	}
}

// report tells the browser that waits for its page how the sign-in ended. The first
// report counts.
func (c *Callback) report(p page) {
	c.mu.Lock()
	defer c.mu.Unlock()

	if c.ending == nil {
		c.ending = &p
		close(c.reported)
	}
}

// Close stops listening, after a short time for the closing page to reach the browser.
func (c *Callback) Close() error {
	c.report(page{
		status: http.StatusOK,
		title:  "The sign-in was not completed",
		text:   "The command line ended before. You can close this window.",
	})

	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()

	var errs []error

	for _, s := range c.servers {
		if s.Shutdown(ctx) != nil {
			errs = append(errs, s.Close())
		}
	}

	return errors.Join(errs...)
}

// serve answers every request and accepts the right one.
func (c *Callback) serve(w http.ResponseWriter, r *http.Request) {
	p, wait := c.accept(r)
	if wait {
		p = c.outcome(r.Context())
	}

	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")

	if p.status == http.StatusMethodNotAllowed {
		h.Set("Allow", "GET")
	}

	w.WriteHeader(p.status)

	title := html.EscapeString(p.title)
	fmt.Fprintf(w, closingPage, title, title, html.EscapeString(p.text))
}

const closingPage = `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>%s</title>
<style>body{font:16px sans-serif;max-width:36em;margin:4em auto;padding:0 1em}</style></head>
<body><h1>%s</h1><p>%s</p></body></html>
`

// outcome waits until the code has been redeemed and returns the page that says how
// that went.
func (c *Callback) outcome(ctx context.Context) page {
	limit := time.NewTimer(c.pageTimeout)
	defer limit.Stop()

	select {
	case <-c.reported:
	case <-limit.C:
	case <-ctx.Done(): // the browser left
	}

	c.mu.Lock()
	defer c.mu.Unlock()

	if c.ending != nil {
		return *c.ending
	}

	return page{
		status: http.StatusOK,
		title:  "Not finished yet",
		text:   "The sign-in service takes long. The command line will say how it ended. You can close this window.",
	}
}

// accept decides whether r is the answer, and returns the page to show. If wait is
// true, the outcome is shown instead. The page shows nothing of the request.
func (c *Callback) accept(r *http.Request) (p page, wait bool) {
	if r.Method != http.MethodGet {
		return page{http.StatusMethodNotAllowed, "Not this way", "The answer to a sign-in comes as a GET."}, false
	}

	form := r.URL.Query()
	states, codes, faults := form["state"], form["code"], form["error"]

	c.mu.Lock()
	defer c.mu.Unlock()

	switch {
	case len(states) != 1 || len(codes)+len(faults) == 0:
		return page{http.StatusNotFound, "Nothing here", "This address only takes the answer to a sign-in."}, false
	case c.state == "" || !sameState(states[0], c.state):
		return page{
			http.StatusBadRequest,
			"Not the sign-in that is waited for",
			"Use the address that the command line printed last.",
		}, false
	case c.answered:
		return page{
			http.StatusConflict,
			"Already done",
			"This sign-in has been answered before. You can close this window.",
		}, false
	case len(faults) > 0:
		c.answered = true
		c.result <- redirected{err: redirectRefusal(form).Explain(App{})}

		return page{
			http.StatusOK,
			"The sign-in was refused",
			"The command line says why. You can close this window.",
		}, false
	case len(codes) != 1 || codes[0] == "":
		return page{http.StatusBadRequest, "Nothing here", "The answer has no code."}, false
	}

	c.answered = true
	c.result <- redirected{code: secret.New(codes[0])}

	return page{}, true
}

// sameState compares in constant time: a state is a secret until it is used.
func sameState(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
