package instance

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/collect"
)

func TestAClockThatDiffersIsReportedOnceAtTheChange(t *testing.T) {
	var c clocks
	var lines []string
	noted := 0
	say := func(level collect.Level, text string) { lines = append(lines, fmt.Sprint(level, " ", text)) }
	note := func(_, _ time.Time) { noted++ }
	login := c.watch("https://login.example.test", say, note)
	api, second := c.watch("https://api.example.test:8443", say, note), c.watch("https://api.example.test:8443", say, note)
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, step := range []struct {
		watch func(server, local time.Time)
		ahead time.Duration
		says  string
	}{
		{login, 0, ""}, {login, 5*time.Minute - time.Second, ""}, {login, -5*time.Minute + time.Second, ""},
		{login, 7 * time.Minute, "2 the clock of login.example.test is 7m0s ahead of this machine's"},
		{login, 8 * time.Minute, ""}, {login, 270 * time.Second, ""},
		{api, -time.Hour, "2 the clock of api.example.test:8443 is 1h0m0s behind this machine's"}, {second, -time.Hour, ""},
		{login, time.Minute, "3 the clock of login.example.test and this machine's agree again"}, {login, time.Minute, ""},
		{second, 0, "agree again"}, {api, 6 * time.Minute, "6m0s ahead"},
	} {
		lines = nil
		step.watch(now.Add(step.ahead), now)
		got := strings.Join(lines, "\n")
		if (got == "") != (step.says == "") || !strings.Contains(got, step.says) {
			t.Errorf("%v: %q, want %q", step.ahead, got, step.says)
		}
	}
	if noted != 12 {
		t.Errorf("%d of 12 times were passed on", noted)
	}
}
