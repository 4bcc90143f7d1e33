package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"fluent-bit-defender/internal/cli/browser"
	"fluent-bit-defender/internal/identity"
	"fluent-bit-defender/tokens"
)

// loopback is where to wait for the browser on this machine: a port, 0 for any free one,
// and the path of the redirect address.
type loopback struct {
	port int
	path string
}

// loopback returns where to wait for the browser. An address that never leads back to
// this machine is an error, unless the person pastes it.
func (a *acquisition) loopback() (loopback, error) {
	if a.port < 0 || a.port > 65535 {
		return loopback{}, usagef("--port: %d is not a port", a.port)
	}

	if a.redirectURI == "" {
		return loopback{a.port, "/"}, nil
	}

	u, err := url.Parse(a.redirectURI)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.Fragment != "" {
		return loopback{}, usagef("--redirect-uri: write the address as it is registered, such as " +
			"https://example.com/SiemMsspConnector")
	}

	if a.paste {
		return loopback{}, nil
	}

	if u.Scheme != "http" || u.Hostname() != "localhost" && u.Hostname() != "127.0.0.1" {
		return loopback{}, usagef("--redirect-uri: the browser cannot come back to this program at %s; add --paste, "+
			"or register http://localhost", u.Host)
	}

	port, err := a.redirectPort(u.Port())
	if err != nil {
		return loopback{}, err
	}

	return loopback{port, u.EscapedPath()}, nil
}

// redirectPort returns the port to wait on for a redirect address with the given port,
// which may be empty.
func (a *acquisition) redirectPort(text string) (int, error) {
	if text == "" {
		return a.port, nil
	}

	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 65535 {
		return 0, usagef("--redirect-uri: %s is not a port", text)
	}

	if a.port != 0 && a.port != n {
		return 0, usagef("--redirect-uri and --port name different ports")
	}

	return n, nil
}

// byBrowser waits for the browser on this machine.
func (a *acquisition) byBrowser(
	ctx context.Context,
	request tokens.Client,
	listen loopback,
) (tokens.Tokens, error) {
	callback, err := tokens.Listen(listen.port)
	if err != nil {
		return tokens.Tokens{}, err
	}
	defer callback.Close()

	redirect := callback.RedirectURI(listen.path)
	if strings.HasPrefix(a.redirectURI, "http://127.0.0.1") {
		redirect = strings.Replace(redirect, "localhost", "127.0.0.1", 1)
	}

	attempt := tokens.NewAuthCode(request, redirect, a.prompt)
	attempt.LoginHint = a.account
	attempt.Limit = a.timeout

	if err := callback.Expect(attempt.State()); err != nil {
		return tokens.Tokens{}, err
	}

	a.c.tell("Sign in with %s. Open this address:\n\n  %s\n", whom(request.App), attempt.URL())

	if !a.noBrowser {
		defer a.openBrowser(attempt.URL(), callback.Port())()
	}

	done := a.c.progress(func() string { return "waiting for the browser at " + redirect })
	defer done()

	return attempt.ExchangeReturned(ctx, callback)
}

// openBrowser opens an address in the browser and tells the person if that fails. It does
// not wait for the browser; the function that it returns ends the watch, not the browser.
func (a *acquisition) openBrowser(address string, port int) (done func()) {
	opened, ended := make(chan error, 1), make(chan struct{})
	go func() {
		// Only root can start a program as the person who called sudo.
		opened <- identity.AsRoot(func() error { return a.c.OpenBrowser(address) })
	}()

	var wg sync.WaitGroup
	wg.Go(func() {
		var err error
		select {
		case err = <-opened:
		case <-ended:
			return
		}

		elsewhere := fmt.Sprintf("From another machine: ssh -L %d:localhost:%d, or use --paste or --device-code.",
			port, port)

		var pending *browser.Pending

		switch {
		case err == nil:
		case errors.As(err, &pending):
			a.c.tellBetween("(%v: if no browser window has opened, open the address above yourself. %s)",
				err, elsewhere)
		default:
			a.c.tellBetween("(No browser was opened: %v. Open the address above yourself. %s)", err, elsewhere)
		}
	})

	return func() {
		close(ended)
		wg.Wait()
	}
}

// byPaste asks for the address that the browser ended on. If the text is no answer, it
// asks again, until person ends. The redemption is bound by ctx alone.
func (a *acquisition) byPaste(ctx, person context.Context, request tokens.Client) (tokens.Tokens, error) {
	redirect := a.redirectURI
	if redirect == "" {
		redirect = "http://localhost/" // nobody answers there, and the address bar keeps the answer
	}

	attempt := tokens.NewAuthCode(request, redirect, a.prompt)
	attempt.LoginHint = a.account

	a.c.tell("Sign in with %s. Open this address:\n\n  %s\n", whom(request.App), attempt.URL())
	a.c.tell("The browser ends on %s, on a page that may not exist.", redirect)

	for {
		line, err := a.c.answer(person, "Paste the whole address from its address bar: ", false)
		if err != nil && person.Err() == nil {
			return tokens.Tokens{}, errors.New("the input ended before an address was pasted; nothing was stored")
		}

		if err != nil {
			return tokens.Tokens{}, err
		}

		if strings.TrimSpace(line) == "" {
			continue
		}

		got, err := attempt.ExchangePasted(ctx, line)

		var refused *tokens.Error
		if err == nil || errors.As(err, &refused) || ctx.Err() != nil {
			return got, err
		}

		a.c.say("%v", err)
	}
}

// byDevice shows a code for the person to enter on another device.
func (a *acquisition) byDevice(ctx context.Context, request tokens.Client) (tokens.Tokens, error) {
	d, err := request.DeviceAuth(ctx)
	if err != nil {
		return tokens.Tokens{}, err
	}

	// Whichever ends first ends the sign-in: the code or the timeout.
	left := min(d.Expiry.Sub(a.c.Now()), a.timeout).Round(time.Second)
	if left >= 2*time.Minute {
		left = left.Round(time.Minute)
	}

	a.c.tell("Sign in with %s. On any device, open\n\n  %s\n\nand enter the code  %s  within %s.",
		whom(request.App), d.VerificationURI, d.UserCode, span(left))

	done := a.c.progress(func() string { return "waiting for the code to be entered" })
	defer done()

	return request.DevicePoll(ctx, d)
}
