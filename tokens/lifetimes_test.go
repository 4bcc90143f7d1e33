package tokens_test

import (
	"testing"
	"time"

	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/tokens"
)

func TestAChainsEndIsForeseenNinetyDaysAfterItsLastRefresh(t *testing.T) {
	now := newClock().Now()

	day := 24 * time.Hour
	for name, tc := range map[string]struct {
		chain       tokens.Chain
		ends        time.Time
		soon, ended bool
		state       string
	}{
		"just refreshed": {tokens.Chain{
			Obtained:  now.Add(-300 * day),
			Refreshed: now,
		}, now.Add(90 * day), false, false, "ok"},
		"never refreshed": {tokens.Chain{Obtained: now.Add(-80 * day)}, now.Add(10 * day), true, false,
			"ends in 10 days"},
		"one day left": {tokens.Chain{Refreshed: now.Add(-89 * day)}, now.Add(day), true, false, "ends in 1 day"},
		"an hour left": {
			tokens.Chain{Refreshed: now.Add(-90*day + time.Hour)},
			now.Add(time.Hour),
			true,
			false,
			"ends in less than a day",
		},
		"unused for 90 days": {tokens.Chain{Refreshed: now.Add(-90 * day)}, now, true, true, "ended"},
		"declared dead": {
			tokens.Chain{Refreshed: now, Dead: tokens.Refusal{AADSTS: []int{50173}}, Rejected: now},
			now,
			true,
			true,
			"ended",
		},
		"nothing known of its ages": {tokens.Chain{Refresh: secret.New("x")}, time.Time{}, false, false, "ok"},
	} {
		t.Run(name, func(t *testing.T) {
			f := tc.chain.Forecast(now, tokens.App{})
			if !f.Ends.Equal(tc.ends) || f.Soon != tc.soon || f.Ended != tc.ended || f.State(now) != tc.state ||
				(f.Remedy != "") != tc.soon ||
				(f.Text != "") != tc.soon {
				t.Errorf("%+v, %q", f, f.State(now))
			}
		})
	}
}

func TestACertificatesEndIsForeseenFourteenDaysAhead(t *testing.T) {
	info, err := tokens.InspectCertificate(join(makePair().certPEM, makePair().keyPEM))
	if err != nil {
		t.Fatal(err)
	}

	end := makePair().notAfter
	for days, want := range map[int]string{-15: "ok", -14: "ends in 14 days", 0: "ended", 3: "ended"} {
		now := end.AddDate(0, 0, days)
		if f := info.Forecast(now); f.State(now) != want || (f.Text == "") != (want == "ok") {
			t.Errorf("%d days: %+v", days, f)
		}
	}
}
