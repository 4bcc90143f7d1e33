package simulator

import (
	"testing"
	"time"
)

func FuzzSIEMQuery(f *testing.F) {
	for _, s := range []string{
		"sinceTimeUtc=2026-03-01T00:00:00.000&untilTimeUtc=2026-03-02T00:00:00Z", "ago=P1DT2H3M4S&limit=5",
		"machinegroups=A&machinegroups=B", "ago=PT",
	} {
		f.Add(s)
	}

	s, err := New(Config{})
	if err != nil {
		f.Fatal(err)
	}

	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

	f.Fuzz(func(t *testing.T, query string) {
		if w, problem := s.parseSIEM(query, now); problem == "" && w.limit < 0 {
			t.Errorf("%q gave %+v", query, w)
		}
	})
}

func TestISODuration(t *testing.T) {
	cases := map[string]time.Duration{
		"PT10M":      10 * time.Minute,
		"PT2H":       2 * time.Hour,
		"P1D":        24 * time.Hour,
		"P1DT1H1M1S": 25*time.Hour + 61*time.Second,
		"P":          -1,
		"PT":         -1,
		"P1DT":       -1,
		"":           -1,
		"1H":         -1,
		"PT1.5H":     -1,
		"P1M":        -1,
		"-PT1H":      -1,
	}

	for text, want := range cases {
		if d, ok := isoDuration(text); ok != (want >= 0) || ok && d != want {
			t.Errorf("%q gave %v, %v", text, d, ok)
		}
	}
}
