package config

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// badDurations are texts that are no duration, or one that is not allowed.
var badDurations = map[string]error{
	"":                             ErrSyntax,
	" ":                            ErrSyntax,
	"d":                            ErrSyntax,
	"1x":                           ErrSyntax,
	"1 h":                          ErrSyntax,
	"h1":                           ErrSyntax,
	"1.2.3":                        ErrSyntax,
	"+5s":                          ErrSyntax,
	"1e3":                          ErrSyntax,
	"NaN":                          ErrSyntax,
	"Inf":                          ErrSyntax,
	"0x10":                         ErrSyntax,
	"--1s":                         ErrSyntax,
	"1w":                           ErrSyntax,
	"-1":                           ErrRange,
	"-1s":                          ErrRange,
	"-1d":                          ErrRange,
	"36501d":                       ErrRange,
	"9223372037s":                  ErrRange,
	"99999999999999999999":         ErrRange,
	strings.Repeat("9", 400) + "d": ErrRange,
	"36500d1s":                     ErrRange,
	"2562048h":                     ErrRange,
}

func TestDurations(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"0":      0,
		"90":     90 * time.Second,
		"1.5":    1500 * time.Millisecond,
		"10m":    10 * time.Minute,
		"1h30m":  90 * time.Minute,
		"7d":     7 * day,
		"1d12h":  36 * time.Hour,
		"0.5d":   12 * time.Hour,
		"12h1d":  36 * time.Hour,
		"2D":     2 * day,
		"250ms":  250 * time.Millisecond,
		" 5s ":   5 * time.Second,
		".5s":    500 * time.Millisecond,
		"36500d": MaxDuration, "1.": time.Second, "100us": 100 * time.Microsecond, "1m1s": 61 * time.Second,
	} {
		if got, err := ParseDuration(in); err != nil || got != want {
			t.Errorf("%q = %v, %v; want %v", in, got, err, want)
		}
	}

	for in, want := range badDurations {
		if got, err := ParseDuration(in); !errors.Is(err, want) {
			t.Errorf("%q = %v, %v; want %v", in, got, err, want)
		}
	}

	for in, want := range map[time.Duration]string{
		0:                      "0s",
		90 * time.Second:       "1m30s",
		10 * time.Minute:       "10m",
		24 * time.Hour:         "24h",
		7 * day:                "7d",
		90 * time.Minute:       "1h30m",
		100 * time.Millisecond: "100ms",
	} {
		if got := FormatDuration(in); got != want {
			t.Errorf("%v is written %q, want %q", in, got, want)
		}
	}
}

func TestSizesAreThoseOfFluentBit(t *testing.T) {
	for in, want := range map[string]int64{
		"0":    0,
		"512":  512,
		"32M":  32_000_000,
		"32m":  32_000_000,
		"1K":   1000,
		"1KB":  1000,
		"2mb":  2_000_000,
		"1G":   1_000_000_000,
		"1gB":  1_000_000_000,
		"1.5K": 1500, "false": 0, " 8K ": 8000, "8 K": 8000,
	} {
		if got, err := ParseSize(in); err != nil || got != want {
			t.Errorf("%q = %d, %v; want %d", in, got, err, want)
		}
	}

	for in, want := range map[string]error{
		"":                       ErrSyntax,
		"M":                      ErrSyntax,
		"32MiB":                  ErrSyntax,
		"1T":                     ErrSyntax,
		"5B":                     ErrSyntax,
		"B":                      ErrSyntax,
		"KB":                     ErrSyntax,
		"1e3":                    ErrSyntax,
		"0x10":                   ErrSyntax,
		"NaN":                    ErrSyntax,
		"on":                     ErrSyntax,
		"-1":                     ErrRange,
		"-1K":                    ErrRange,
		"9007199254740993":       ErrRange,
		"99999999999999G":        ErrRange,
		strings.Repeat("9", 400): ErrRange,
	} {
		if got, err := ParseSize(in); !errors.Is(err, want) {
			t.Errorf("%q = %d, %v; want %v", in, got, err, want)
		}
	}
}

func TestBoolsAreThoseOfFluentBit(t *testing.T) {
	for in, want := range map[string]bool{
		"on":    true,
		"On":    true,
		"TRUE":  true,
		"yes":   true,
		"off":   false,
		"False": false,
		"no":    false,
	} {
		if got, err := ParseBool(in); err != nil || got != want {
			t.Errorf("%q = %v, %v", in, got, err)
		}
	}

	for _, in := range []string{"", "1", "0", "maybe", "onn", "y"} {
		if _, err := ParseBool(in); !errors.Is(err, ErrSyntax) {
			t.Errorf("%q: %v", in, err)
		}
	}
}

func TestSuggestionsAreNearAndNotWild(t *testing.T) {
	for in, want := range map[string]string{
		"tenant_di":               "did you mean tenant_id?",
		"tennant_id":              "did you mean tenant_id?",
		"Client_Secrt":            "did you mean client_secret?",
		"poll-interval":           "did you mean poll_interval?",
		"threeded":                "did you mean threaded?",
		"ca_fil":                  "did you mean ca_file?",
		"xyz":                     "remove it",
		"secret":                  "use client_secret_file",
		"tls.ca_file":             "use ca_file",
		"tls.verify":              "no effect",
		"net.dns.mode":            "cannot start",
		"oauth2.token_url":        "cannot start",
		"tagg":                    "did you mean tag?",
		"lookbak":                 "did you mean lookback?",
		strings.Repeat("q", 5000): "remove it",
	} {
		f := UnknownKey(in)
		if f == nil || !strings.Contains(f.Remedy, want) {
			t.Errorf("%.80s: got %v, want %q", in, f, want)
		}
	}

	for _, o := range Options() {
		if f := UnknownKey(strings.ToUpper(o.Name)); (f != nil) != false {
			t.Errorf("%s: %v", o.Name, f)
		}
	}

	for _, k := range coreKeys {
		if UnknownKey(k) != nil {
			t.Errorf("%s is Fluent Bit's own", k)
		}
	}
}

func FuzzParseDuration(f *testing.F) {
	for _, s := range []string{"90", "7d", "1h30m", "-1", "1.5d", "99999999999999d", "5µs"} {
		f.Add(s)
	}

	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDuration(s)
		if err != nil {
			if d != 0 || !errors.Is(err, ErrSyntax) && !errors.Is(err, ErrRange) ||
				strings.ContainsAny(err.Error(), "\n\r\x1b") {
				t.Errorf("%q: %v, %v", s, d, err)
			}

			return
		}

		if d < 0 || d > MaxDuration {
			t.Errorf("%q = %v", s, d)
		}

		if again, err := ParseDuration(FormatDuration(d)); err != nil || again != d {
			t.Errorf("%v is written %q, which reads %v, %v", d, FormatDuration(d), again, err)
		}
	})
}

func FuzzParseSize(f *testing.F) {
	for _, s := range []string{"32M", "1.5kb", "false", "-1G", "99999999999G"} {
		f.Add(s)
	}

	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseSize(s)
		if err == nil && (n < 0 || n > math.MaxInt64/2) ||
			err != nil && (n != 0 || !errors.Is(err, ErrSyntax) && !errors.Is(err, ErrRange)) {
			t.Errorf("%q = %d, %v", s, n, err)
		}
	})
}

func FuzzAddress(f *testing.F) {
	for _, s := range []string{
		"https://a.example",
		"http://127.0.0.1:8080/",
		"http://[::1]",
		"https://a@b",
		"https://a?b",
		"HTTPS://A.EXAMPLE:443",
	} {
		f.Add(s)
	}

	f.Fuzz(func(t *testing.T, s string) {
		normal, problem, remedy := base(s)
		if problem != "" {
			if remedy == "" || normal != "" {
				t.Errorf("%q: %q, %q, %q", s, normal, problem, remedy)
			}

			return
		}

		if strings.HasSuffix(normal, "/") || strings.ContainsAny(normal, "@?# \n") ||
			normal != strings.ToLower(normal) {
			t.Errorf("%q became %q", s, normal)
		}

		if again, problem, _ := base(normal); again != normal || problem != "" {
			t.Errorf("%q became %q, then %q (%s)", s, normal, again, problem)
		}
	})
}

func TestATagHasNoCharacterThatMeansSomethingElsewhere(t *testing.T) {
	for tag, good := range map[string]bool{
		"defender.contoso": true,
		"A-b_c.9":          true,
		"defender.*":       false,
		"a b":              false,
		"a/../b":           false,
		"$TAG":             false,
		"a,b":              false,
		"grüße":            false,
		"a\tb":             false,
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "tenants.yaml")

		text := "defaults:\n  client_id: 11111111-2222-3333-4444-555555555555\n  client_secret: s3cret\ntenants:\n" +
			"  - tenant_id: contoso.example\n    tag: " + strconv.Quote(tag) + "\n"
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}

		in, _, err := FromPlugin(Map{"tenants_file": path}, Sources{})
		if good != (err == nil) {
			t.Errorf("tag %q: %v", tag, err)
		}

		if good && err == nil && in.Tenants[0].Tag != tag {
			t.Errorf("tag %q became %q", tag, in.Tenants[0].Tag)
		}
	}
}

func TestAnUnknownSignInServiceIsWarnedOf(t *testing.T) {
	for address, warned := range map[string]bool{
		"":                                  false,
		"https://login.microsoftonline.com": false,
		"http://127.0.0.1:9":                false,
		"https://login.microsoftonline.com.example": true,
	} {
		_, warnings, err := FromPlugin(Map{
			"tenant_id":     "contoso.example",
			"client_id":     "11111111-2222-3333-4444-555555555555",
			"client_secret": "s3cret",
			"login_url":     address,
		}, Sources{})
		if err != nil {
			t.Fatal(err)
		}

		found := slices.ContainsFunc(warnings, func(w Warning) bool { return w.Key == "login_url" })
		if found != warned {
			t.Errorf("%q: %v", address, warnings)
		}
	}
}
