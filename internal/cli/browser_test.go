package cli_test

import (
	"context"
	"image/png"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"fluent-bit-defender/internal/test/browser"
	"fluent-bit-defender/internal/testbed/simulator"
)

func TestARealBrowserSignsInOrDeclines(t *testing.T) {
	browser := browser.Start(t)
	for name, c := range map[string]struct {
		button, title, text string
		code                int
	}{
		"accept": {"#accept", "Signed in", "soc@contoso.example signed in to tenant " + contoso +
			" for https://graph.microsoft.com with application " + client + ". Go back to the command line. You can " +
			"close this window.", 0},
		"decline": {"#decline", "The sign-in was refused", "The command line says why. You can close this window.", 4},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(c *simulator.Config) { c.AutoConsent = false })
			opened := make(chan string, 1)
			w.browser = func(address string) error { opened <- address; return nil }

			done := make(chan result, 1)
			go func() { done <- w.run(w.acquire("graph")...) }()

			do := func(steps ...chromedp.Action[chromedp.Void]) {
				t.Helper()

				if err := chromedp.Do(browser, steps...); err != nil {
					t.Fatal(err)
				}
			}
			do(chromedp.Navigate(<-opened))

			question := see(browser, t, chromedp.Text("#account"))

			do(chromedp.Click(c.button), chromedp.WaitNotPresent("#account"), chromedp.WaitVisible("h1"))

			title := see(browser, t, chromedp.Title())
			heading := see(browser, t, chromedp.Text("h1"))
			text := see(browser, t, chromedp.Text("p"))

			at, screenshot := see(browser, t, chromedp.Location()), see(browser, t, chromedp.FullScreenshot(100))
			if !strings.Contains(question, "soc@contoso.example signs in to contoso") {
				t.Errorf("the page asks %q", question)
			}

			if title != c.title || heading != c.title || text != c.text {
				t.Errorf("the closing page says %q, %q: %q", title, heading, text)
			}

			if u, err := url.Parse(at); err != nil || u.Hostname() != "localhost" {
				t.Errorf("the browser ended on %s", at)
			}

			look(t, screenshot, name)

			r := w.expect(<-done, c.code)
			if c.code == 0 {
				contains(t, r.out, "signed in as soc@contoso.example", "API graph answers")
			} else {
				contains(t, r.err, "AADSTS65004")
			}

			noSecret(t, r)
		})
	}
}

// see takes something from the page.
func see[T any](browser context.Context, t *testing.T, what chromedp.Action[T]) T {
	t.Helper()

	v, err := chromedp.Run(browser, what)
	if err != nil {
		t.Fatal(err)
	}

	return v
}

// look makes sure that something legible is on the screen: dark text on a light page.
// With -artifacts the picture is kept to be looked at.
func look(t *testing.T, screenshot []byte, name string) {
	t.Helper()

	picture, err := png.Decode(strings.NewReader(string(screenshot)))
	if err != nil {
		t.Fatal(err)
	}

	dark, light := 0, 0

	for y := picture.Bounds().Min.Y; y < picture.Bounds().Max.Y; y++ {
		for x := picture.Bounds().Min.X; x < picture.Bounds().Max.X; x++ {
			switch r, g, b, _ := picture.At(x, y).RGBA(); {
			case r+g+b < 3*0x5000:
				dark++
			case r+g+b > 3*0xf000:
				light++
			}
		}
	}

	if dark < 500 || light < 20*dark {
		t.Errorf("%d dark and %d light pixels: this is no page with text", dark, light)
	}

	file := filepath.Join(t.ArtifactDir(), "closing-page-"+name+".png")
	if err := os.WriteFile(file, screenshot, 0o600); err != nil {
		t.Fatal(err)
	}
}
