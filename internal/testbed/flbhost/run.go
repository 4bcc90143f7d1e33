package flbhost

import (
	"cmp"
	"context"
	"time"
)

// TB is the part of testing.TB that Run uses, so that programs other than tests need
// not link package testing.
type TB interface {
	Helper()
	Cleanup(func())
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
	TempDir() string
	Failed() bool
}

// Run starts a Host for a test and fails it when that is not possible. When the test
// ends the process is killed if it still runs, and every violation fails the test; a
// test that expects some reads Violations and calls Start itself. An empty StorageDir
// becomes a temporary one. The log is printed when the test failed. Where cfg has no
// limits for callbacks and the exit, they are so long that only a call that hangs
// exceeds them: on a busy machine a test may wait long for a processor.
func Run(tb TB, cfg Config) *Host {
	tb.Helper()

	cfg.CallbackLimit = cmp.Or(cfg.CallbackLimit, 20*time.Second)

	cfg.ExitLimit = cmp.Or(cfg.ExitLimit, 20*time.Second)
	if cfg.StorageDir == "" {
		cfg.StorageDir = tb.TempDir()
	}

	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()

	h, err := Start(ctx, cfg)
	if h != nil {
		tb.Cleanup(func() {
			_, _ = h.Kill()
			for _, v := range h.Violations() {
				tb.Errorf("violation: %s", v)
			}

			if tb.Failed() {
				for _, l := range h.Logs() {
					tb.Logf("[%5s] %s", l.Level, l.Text)
				}
			}
		})
	}

	if err != nil {
		tb.Fatalf("%v", err)
	}

	return h
}
