package tick

import (
	"errors"
	"testing"
	"time"
)

func TestParseReadsEveryFormTheServicesPrint(t *testing.T) {
	for text, want := range map[string]Tick{
		"1970-01-01T00:00:00Z":           0,
		"2020-09-30T14:09:20.35743Z":     16014749603574300,
		"2020-09-30T14:09:20Z":           16014749600000000,
		"2020-09-30T14:09:20":            16014749600000000,
		"2020-09-30 14:09:20.1":          16014749601000000,
		"2020-09-30T14:09:20.1234567Z":   16014749601234567,
		"2020-09-30T14:09:20.123456789Z": 16014749601234567,
		"2020-09-30T16:09:20+02:00":      16014749600000000,
		"2020-09-30T08:39:20.5-05:30":    16014749605000000,
		"1969-12-31T23:59:59.9999999Z":   -1,
		"2024-02-29T00:00:00Z":           17091648000000000,
	} {
		got, err := Parse(text)
		if err != nil || got != want {
			t.Errorf("Parse(%q) = %d, %v; want %d", text, got, err, want)
		}

		if b, err := Parse([]byte(text)); err != nil || b != want {
			t.Errorf("Parse([]byte(%q)) = %d, %v; want %d", text, b, err, want)
		}
	}
}

func TestParseRefusesWhatIsNotATime(t *testing.T) {
	for _, text := range []string{
		"", "null", "2020-09-30", "2020-13-30T14:09:20Z", "2020-02-30T14:09:20Z", "2023-02-29T00:00:00Z",
		"2020-09-30T24:09:20Z", "2020-09-30T14:09:20.Z", "2020-09-30T14:09:20.1234567890Z", "2020-09-30T14:09:20X",
		"2020-09-30T14:09:20+0200", "2020-09-30T14:09:20.-1Z", "２０２０-09-30T14:09:20Z",
	} {
		if got, err := Parse(text); !errors.Is(err, ErrSyntax) {
			t.Errorf("Parse(%q) = %d, %v; want ErrSyntax", text, got, err)
		}
	}
}

func TestTextAndTimeComeBack(t *testing.T) {
	for _, want := range []Tick{-1, 1, 16014749601234567, 16014749600000000} {
		if got, err := Parse(want.Text()); err != nil || got != want {
			t.Errorf("Parse(%q) = %d, %v; want %d", want.Text(), got, err, want)
		}

		if got := FromTime(want.Time()); got != want {
			t.Errorf("FromTime(%d.Time()) = %d", want, got)
		}
	}

	if FromTime(time.Time{}) != 0 || !Tick(0).Time().IsZero() {
		t.Error("the zero time and 0 are not each other")
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"2020-09-30T14:09:20.35743Z", "2020-09-30 14:09:20+02:00", "0000-00-00T00:00:00"} {
		f.Add(s)
	}

	f.Fuzz(func(t *testing.T, s string) {
		got, err := Parse(s)
		if err != nil {
			return
		}

		year := got.Time().Year()
		if back, err := Parse(got.Text()); year >= 0 && year <= 9999 && (err != nil || back != got) {
			t.Fatalf("Parse(%q) = %d, but Parse(%q) = %d, %v", s, got, got.Text(), back, err)
		}

		if want, err := time.Parse(time.RFC3339Nano, s); err == nil && FromTime(want) != got && !want.IsZero() {
			t.Fatalf("Parse(%q) = %d; time.Parse says %d", s, got, FromTime(want))
		}
	})
}
