package tokens

import (
	"strings"
	"testing"
	"time"
)

func TestACredentialsEndIsForeseenFromFourteenDaysOn(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

	day := 24 * time.Hour
	for name, c := range map[string]struct {
		chain       Chain
		state, says string
	}{
		"fresh":              {Chain{Obtained: now, Refreshed: now}, "ok", ""},
		"old, but refreshed": {Chain{Obtained: now.Add(-400 * day), Refreshed: now.Add(-day)}, "ok", ""},
		"15 days left":       {Chain{Refreshed: now.Add(-75 * day)}, "ok", ""},
		"14 days left": {Chain{Refreshed: now.Add(-76 * day)}, "ends in 14 days",
			"has not been refreshed since 2025-12-15"},
		"a day left": {Chain{Refreshed: now.Add(-89 * day)}, "ends in 1 day", "ends in 1 day"},
		"an hour left": {Chain{Refreshed: now.Add(-90*day + time.Hour)}, "ends in less than a day",
			"less than a day"},
		"over":            {Chain{Refreshed: now.Add(-90 * day)}, "ended", "90 days"},
		"never refreshed": {Chain{Obtained: now.Add(-80 * day)}, "ends in 10 days", "10 days"},
		"dead": {Chain{
			Refreshed: now,
			Dead:      Refusal{AADSTS: []int{50173}},
			Rejected:  now,
		}, "ended", "AADSTS50173"},
		"dead, nobody saw when": {Chain{Dead: Refusal{AADSTS: []int{50173}}}, "ended", "AADSTS50173"},
		"nothing known":         {Chain{}, "ok", ""},
	} {
		f := c.chain.Forecast(now, App{})
		if f.State(now) != c.state || !strings.Contains(f.Text, c.says) || f.Soon != (c.says != "") ||
			(f.Remedy != "") != f.Soon {
			t.Errorf("%s: %q: %+v", name, f.State(now), f)
		}
	}

	for left, want := range map[time.Duration]string{20 * day: "ok", 13 * day: "ends in 13 days", -day: "ended"} {
		f := CertificateInfo{NotAfter: now.Add(left)}.Forecast(now)
		if f.State(now) != want || (f.Text != "") != f.Soon {
			t.Errorf("certificate with %v left: %q: %+v", left, f.State(now), f)
		}
	}
}
