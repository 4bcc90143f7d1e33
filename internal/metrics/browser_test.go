package metrics

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/measure"
	"fluent-bit-defender/internal/test/browser"
)

// living is a source that a test changes while a browser looks at it.
type living struct {
	mu sync.Mutex
	fixed
}

func (l *living) Units() []measure.Unit {
	l.mu.Lock()
	defer l.mu.Unlock()

	return l.fixed.Units()
}

// change changes the units that match, and those only.
func (l *living) change(name string, change func(*measure.Unit)) {
	l.mu.Lock()
	defer l.mu.Unlock()

	for i := range l.units {
		if l.units[i].Status.TenantName == name {
			change(&l.units[i])
		}
	}
}

// troubles are what goes wrong with the tenants of crowd.
var troubles = []health.Trouble{
	{
		Reason:  advice.ConsentMissing,
		Message: "the application has no consent in this tenant (AADSTS65001)",
		Remedy:  "run: defenderctl tenants consent contoso",
		Trace:   "trace 9a1f8c77-0d1e-4a53-9c8e-0b1f5a3c2d00",
	},
	{
		Reason:  advice.Throttled,
		Message: "the service asked to wait (HTTP 429)",
	},
	{
		Reason:  advice.TokenDead,
		Message: "the refresh token has expired due to inactivity (AADSTS700082)",
		Remedy: "sign in again: defenderctl tokens acquire --tenant-id 99999999-8888-4777-8666-555555555551 " +
			"--client-id 11111111-2222-4333-8444-555555555555",
	},
	{
		Reason:  advice.Unreachable,
		Message: "api.security.microsoft.com cannot be reached: connection refused",
		Remedy:  "check `api_url`, `region`, `proxy`, the name service and the firewall",
	},
}

// crowd returns n units, of which some are in trouble, as they are at that moment.
func crowd(n int, now time.Time) []measure.Unit {
	names := []string{
		"Contoso",
		"Fabrikam",
		"Northwind Traders",
		"Adventure Works",
		"Tailspin Toys",
		"Wingtip",
		"Litware",
		"Proseware",
		"Woodgrove Bank",
		"Fourth Coffee",
		"Graphic Design Institute",
		"Alpine Ski House",
	}
	kinds := []string{"", " Holding", " Services", " Retail", " Europe", " Labs"}

	units := make([]measure.Unit, n)
	for i := range units {
		name := names[i%len(names)] + kinds[i/len(names)%len(kinds)]
		if round := i / len(names) / len(kinds); round > 0 {
			name += fmt.Sprintf(" %d", round+1)
		}

		units[i] = customer(fmt.Sprintf("%08x-1c0d-4e1f-a2b3-%012x", 0x5a17c0de+i*7919, i), name)
		s := &units[i].Status
		s.LastSuccess = now.Add(-time.Duration(i%60) * time.Second)
		s.LastAlert = now.Add(-time.Duration(i*i%5000) * time.Second)
		s.LagSeconds = float64(i%60) + 1

		s.Since = now.Add(-time.Duration(i%90) * time.Hour)
		for hour := range health.HoursShown {
			for range (i*7 + hour*hour*3) % 11 * (i % 4) {
				s.Hours.Add(now.Add(-time.Duration(health.HoursShown-1-hour) * time.Hour))
			}
		}

		units[i].Ends.RefreshToken = now.Add(time.Duration(80+i%10) * 24 * time.Hour)

		switch {
		case i%83 == 5:
			s.State = health.Failing
			s.Trouble = troubles[i/83%len(troubles)]
			s.Since = now.Add(-time.Duration(i) * time.Minute)
			s.LagSeconds = s.LagSeconds + float64(i*60)
		case i%211 == 7:
			units[i].Ends.Credential = now.Add(time.Duration(i%12+1) * 24 * time.Hour)
		case i == n-1:
			s.State = health.Starting
		}
	}

	return units
}

// tab is a page in a browser, and what went wrong in it.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	bad      []string // messages of the console
	requests []string
}

// open opens an address in a new browser.
func open(t *testing.T, address string, width, height int64, scheme string) *tab {
	t.Helper()
	b := &tab{t: t, ctx: browser.Start(t)}

	if err := chromedp.Listen(b.ctx, func(event any) {
		if e, ok := event.(*network.EventRequestWillBeSent); ok {
			b.mu.Lock()
			defer b.mu.Unlock()

			b.requests = append(b.requests, e.Request.URL)
		}
	}); err != nil {
		t.Fatal(err)
	}

	messages := chromedp.Console(b.ctx)
	go func() {
		for m, err := range messages {
			if err != nil {
				return // the browser has ended
			}

			b.mu.Lock()
			b.bad = append(b.bad, m.String())
			b.mu.Unlock()
		}
	}()

	media := emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	}

	if err := chromedp.Do(
		b.ctx,
		chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
			if _, err := cdp.Call(ctx, t, network.Enable, network.EnableParams{}); err != nil {
				return err
			}

			_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, media)

			return err
		}),
		chromedp.EmulateViewport(width, height),
		chromedp.Navigate(address),
	); err != nil {
		t.Fatal(err)
	}

	return b
}

// until returns when an expression in the page becomes true.
func (b *tab) until(what, expression string) {
	b.t.Helper()

	ctx, cancel := context.WithTimeout(b.ctx, 3*time.Minute)
	defer cancel()

	script := "new Promise(done => { const look = () => (" + expression + ") ? done(true) : setTimeout(look, 20); " +
		"look() })"
	if _, err := chromedp.Run(ctx, chromedp.Evaluate[bool](script, chromedp.EvalAwaitPromise)); err != nil {
		b.t.Fatalf("%s: %v; the page shows %.2000s", what, err, read[string](b, "document.body.innerText"))
	}
}

// read returns the value of an expression in the page.
func read[T any](b *tab, expression string) T {
	b.t.Helper()

	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}

	return v
}

// do carries steps out.
func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()

	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// names returns the tenants that the page shows, in its order.
func (b *tab) names() []string {
	b.t.Helper()
	return read[[]string](b, "[...document.querySelectorAll('#tenants tbody tr')].map(row => row.dataset.name ?? '')")
}

// clean fails the test if the console had a message, or if another host was asked.
func (b *tab) clean(address string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()

	for _, m := range b.bad {
		b.t.Errorf("the console says: %s", m)
	}

	asked := 0

	for _, r := range b.requests {
		u, err := url.Parse(r)
		switch {
		case err != nil || u.Scheme == "data":
		case u.Host == address:
			asked++
		case u.Scheme != "about":
			b.t.Errorf("the page asks %s", r)
		}
	}

	if asked == 0 {
		b.t.Error("no request was seen: this proves nothing")
	}
}

// picture keeps a screenshot to be looked at, with -artifacts.
func (b *tab) picture(name string) {
	b.t.Helper()

	png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		b.t.Fatal(err)
	}

	if err := os.WriteFile(filepath.Join(b.t.ArtifactDir(), name+".png"), png, 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// filters checks the field over the table, of a page of a thousand tenants.
func (b *tab) filters() {
	t := b.t
	t.Helper()

	// Typing filters; the field keeps the focus and the text.
	b.do(chromedp.SendKeys("#q", "wood BANK europe"))
	b.until("the filter", "document.querySelectorAll('#tenants tbody tr').length < 50")

	if got := b.names(); len(got) == 0 || slices.ContainsFunc(got, func(n string) bool {
		return !strings.HasPrefix(n, "Woodgrove Bank Europe")
	}) {
		t.Errorf("the filter leaves %q", got)
	}

	where := read[string](b, "document.activeElement.id + ' ' + document.activeElement.value + ' ' + location.search")
	if got := where; got != "q wood BANK europe ?q=wood+BANK+europe" {
		t.Errorf("after typing: %s", got)
	}

	// Escape empties the filter, and slash goes to it again.
	b.do(chromedp.KeyEvent("\x1b"))
	b.until("all rows again", "document.querySelectorAll('#tenants tbody tr').length === 1000")

	// The tool sends a key as several events, of which the last may reach the field after
	// the first has moved the focus there. The page is asked about the first one alone.
	b.do(js("document.activeElement.blur()"))

	typed := read[bool](b, "document.body.dispatchEvent("+
		"new KeyboardEvent('keydown', {key: '/', bubbles: true, cancelable: true}))")
	if typed {
		t.Error("a slash is typed as well")
	}

	b.until("the focus", "document.activeElement.id === 'q'")
}

func TestABrowserFiltersSortsAndSeesATenantFail(t *testing.T) {
	src := &living{fixed: fixed{units: crowd(1000, time.Now())}}
	address := serve(t, Settings{}, src)
	b := open(t, "http://"+address+"/", 1400, 900, "light")

	b.until("all rows", "document.querySelectorAll('#tenants tbody tr').length === 1000")
	b.until("the script runs", "document.documentElement.classList.contains('script')")

	if title := read[string](b, "document.title"); title != "(12) Defender alerts" {
		t.Errorf("the title is %q", title)
	}

	for i, name := range b.names()[:13] {
		class := read[string](b, fmt.Sprintf("document.querySelectorAll('#tenants tbody tr')[%d].className", i))
		if want := map[bool]string{true: "failing", false: "soon"}[i < 12]; class != want {
			t.Errorf("row %d, %s, is %s, not %s", i, name, class, want)
		}
	}

	b.filters()

	sorted := func(order string) string { // the rows arrive after the head
		return "document.querySelector('th.tenant').ariaSort === '" + order + "'" +
			" && document.querySelectorAll('#tenants tbody tr[data-name]').length === 1000"
	}

	// A click on a head sorts, a second one turns the order around, by the keyboard too.
	b.do(chromedp.Click("[data-sort=tenant]"))
	b.until("the order", sorted("ascending"))

	if got := b.names(); !slices.IsSortedFunc(got, func(x, y string) int {
		return strings.Compare(strings.ToLower(x), strings.ToLower(y))
	}) {
		t.Errorf("not sorted: %q …", got[:10])
	}

	b.do(chromedp.KeyEvent("\r"))
	b.until("the reverse", sorted("descending"))

	if got := b.names(); got[0] != "Woodgrove Bank Services 9" {
		t.Errorf("the last name is %q", got[0])
	}

	// A tenant that starts to fail comes to the top by itself, and is announced.
	b.do(chromedp.Click("#reset"))
	b.until("what needs attention first", "document.querySelector('#tenants tbody tr').className === 'failing'")
	b.do(js("getSelection().selectAllChildren(document.querySelector('.remedy'))"))
	selected := read[string](b, "getSelection().toString()")

	src.change("Litware", func(u *measure.Unit) {
		u.Status.State = health.Failing
		u.Status.Since = time.Now()
		u.Status.Trouble = troubles[3]
	})
	b.until("the failing tenant", "document.querySelector('#tenants tbody tr').dataset.name === 'Litware'")

	said := read[string](b, "document.title + ': ' + document.getElementById('news').textContent")
	if said != "(13) Defender alerts: Litware fails now." {
		t.Errorf("announced: %q", said)
	}

	if got := read[string](b, "getSelection().toString()"); got != selected || got == "" {
		t.Errorf("the refresh changed the selection from %q to %q", selected, got)
	}

	b.clean(address)
}

func TestThePageFitsAPhoneAndTheDark(t *testing.T) {
	src := &fixed{units: crowd(1000, time.Now())}
	address := serve(t, Settings{}, src)

	for name, c := range map[string]struct {
		width, height int64
		scheme        string
		dark          bool
	}{
		"wide-light":  {1400, 900, "light", false},
		"wide-dark":   {1400, 900, "dark", true},
		"phone-light": {400, 860, "light", false},
		"phone-dark":  {400, 860, "dark", true},
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t, "http://"+address+"/", c.width, c.height, c.scheme)
			b.until("all rows", "document.querySelectorAll('#tenants tbody tr').length === 1000")

			if over := read[int](b, "document.documentElement.scrollWidth - innerWidth"); over > 0 {
				t.Errorf("the page is %d pixels wider than the screen", over)
			}

			for _, what := range []string{"body", ".failing .badge", ".ok .badge", ".minor", ".remedy", "footer a"} {
				contrast := read[float64](b, fmt.Sprintf(contrastOf, what))
				if contrast < 4.5 {
					t.Errorf("%s has a contrast of %.2f, at least 4.5", what, contrast)
				}
			}

			dark := read[float64](b, "("+luminance+")(getComputedStyle(document.body).backgroundColor)") < 0.2
			if dark != c.dark {
				t.Errorf("dark: %t", dark)
			}

			b.picture(name)
			b.clean(address)
		})
	}
}

// luminance is a function of a color, and contrastOf the contrast of an element's text
// against what is behind it, both as WCAG 2 defines them.
const luminance = `color => {
	const linear = v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
	const [r, g, b] = color.match(/[\d.]+/g).slice(0, 3).map(v => linear(v / 255));
	return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}`

const contrastOf = `(() => {
	const luminance = ` + luminance + `;
	let e = document.querySelector('%s');
	const text = luminance(getComputedStyle(e).color);
	while (e && /rgba\(.*, 0\)|transparent/.test(getComputedStyle(e).backgroundColor)) e = e.parentElement;
	const back = luminance(getComputedStyle(e ?? document.body).backgroundColor);
	return (Math.max(text, back) + 0.05) / (Math.min(text, back) + 0.05);
})()`

// js is a step that runs a script.
func js(script string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := chromedp.Evaluate[any](script)(ctx, t)
		return err
	})
}
