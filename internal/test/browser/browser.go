// Package browser starts a real browser, Chromium, for tests that drive a page.
package browser

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// lifetime bounds a test's browser: a page that never does what is waited for ends it. It
// is long because the machine may be busy: chromedp alone would give up after 20 seconds
// in which the browser has not started. It costs nothing unless the test fails.
const lifetime = 10 * time.Minute

// Start starts a browser without a screen, which ends with the test. Continuous
// integration must have one; elsewhere the test is skipped without.
func Start(t *testing.T) context.Context {
	t.Helper()

	options := append(
		chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program(t)),
		chromedp.UserDataDir(t.TempDir()),
		chromedp.WSURLReadTimeout(lifetime),
		chromedp.DisableGPU,
		chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true),
	)
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}

	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)

	// The browser lives as long as this call's context.
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		t.Fatalf("starting the browser: %v", err)
	}

	ctx, cancel = context.WithTimeout(ctx, lifetime)
	t.Cleanup(cancel)

	return ctx
}

// program returns where the browser is.
func program(t *testing.T) string {
	t.Helper()

	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}

	if os.Getenv("CI") == "true" {
		t.Fatal("there is no chromium: apt-get install chromium")
	}

	t.Skip("there is no chromium: apt-get install chromium")

	return ""
}
