package instance

import (
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/collect"
	"fluent-bit-defender/internal/testbed/loglines"
)

func TestAClockThatDiffersIsReportedOnceAtTheChange(t *testing.T) {
	var (
		c     clocks
		lines loglines.Lines
	)

	log := lines.Logger()

	// A database, whose clock some of these agree with.
	shared := &collect.Skew{Witness: func() time.Duration { return 50 * time.Minute }}

	login := c.watch("https://login.example.test", log, nil)
	api := c.watch("https://api.example.test:8443", log, new(collect.Skew))
	second := c.watch("https://api.example.test:8443", log, new(collect.Skew))
	third := c.watch("https://third.example.test", log, shared)

	begin := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, step := range []struct {
		watch func(server, local time.Time)
		at    time.Duration // since the beginning
		ahead time.Duration
		says  string
	}{
		{login, 0, 0, ""},
		{login, 0, 5*time.Minute - time.Second, ""},
		{login, 0, -5*time.Minute + time.Second, ""},
		{login, 0, 7 * time.Minute, "WARN the clock of login.example.test is 7m0s ahead of this machine's"},
		{login, 0, 8 * time.Minute, ""},
		{login, 0, 270 * time.Second, ""},
		{api, 0, -time.Hour, "WARN the clock of api.example.test:8443 is 1h0m0s behind this machine's"},
		{second, 0, -time.Hour, ""},
		{login, 14 * time.Minute, time.Minute, ""},
		{login, 15 * time.Minute, time.Minute, "INFO the clock of login.example.test and this machine's agree again"},
		{login, 16 * time.Minute, time.Minute, ""},
		{second, 16 * time.Minute, 0, "agree again"},
		{api, 17 * time.Minute, 6 * time.Minute, "alerts may come late"},
		{api, 18 * time.Minute, 16 * time.Minute, "more than 15m0s is not believed, and this machine's clock is used"},
		{api, 19 * time.Minute, 6 * time.Minute, ""},
		{third, 20 * time.Minute, time.Hour, "the clock of the database agrees with it, and alerts are read by that"},
		{third, 21 * time.Minute, -time.Hour, ""},
	} {
		now := begin.Add(step.at)
		step.watch(now.Add(step.ahead), now)

		got := strings.Join(lines.Take(), "\n")
		if (got == "") != (step.says == "") || !strings.Contains(got, step.says) {
			t.Errorf("%v: %q, want %q", step.ahead, got, step.says)
		}
	}
}

func TestTwoClocksBehindOneNameAreSaidOnce(t *testing.T) {
	var (
		c     clocks
		lines loglines.Lines
	)

	watch := c.watch("https://api.example.test", lines.Logger(), nil)

	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for i := range 1000 {
		now = now.Add(time.Second)
		watch(now.Add(time.Duration(i%2)*-time.Hour), now)
	}

	if list := lines.Take(); len(list) != 1 {
		t.Errorf("%d lines:\n%s", len(list), strings.Join(list, "\n"))
	}
}
