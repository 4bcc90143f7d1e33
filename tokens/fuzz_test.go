package tokens

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/secret"
)

var fuzzNow = time.Date(2026, 2, 3, 9, 0, 0, 0, time.UTC)

func addGolden(f *testing.F) {
	files, err := filepath.Glob("../testdata/tokens/*.json")
	if err != nil || len(files) == 0 {
		f.Fatalf("no samples: %v", err)
	}

	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}

		f.Add(body)
	}
}

// FuzzTokenAnswer: whatever the service says is read within bounds or refused.
func FuzzTokenAnswer(f *testing.F) {
	addGolden(f)

	for _, s := range []string{
		`{"token_type":"Bearer","scope":"user_impersonation","expires_in":"3599","ext_expires_in":"3599",` +
			`"expires_on":"1770116400","not_before":"1770112501","resource":"https://graph.windows.net",` +
			`"access_token":"eyJ.invented.at","refresh_token":"0.invented-rt","id_token":"eyJ.invented."}`,
		`{"expires_in":1e400,"interval":"-1"}`, `{"expires_in":9223372036854775807,"expires_on":-9e9}`, `{`, ``, `null`,
		`{"a":{"a":`} {
		f.Add([]byte(s))
	}

	f.Fuzz(func(t *testing.T, body []byte) {
		a, err := parseAnswer(body, fuzzNow)
		if err != nil {
			if a.access.IsZero() && a.refusal.OAuth == "" && errors.Is(err, errNotJSON) {
				return
			}

			t.Fatalf("an error together with an answer: %v", err)
		}

		if a.life < 0 || a.life > maxLife || a.interval < 0 || a.interval > 10*time.Minute {
			t.Fatalf("life %v, interval %v", a.life, a.interval)
		}

		oneLine(t, a.scope, 4096)
		oneLine(t, a.message, 1024)
		oneLine(t, a.verification, 1024)
		oneLine(t, a.userCode, 64)
	})
}

// FuzzRefusal: an error's line is one bounded line of plain text, made of our words,
// known ids and numbers.
func FuzzRefusal(f *testing.F) {
	addGolden(f)

	allowed := regexp.MustCompile(`\(([0-9A-Za-z_.:, -]*)\)$`)

	f.Fuzz(func(t *testing.T, body []byte) {
		a, err := parseAnswer(body, fuzzNow)
		if err != nil {
			return
		}

		for _, status := range []int{0, 400, 503} {
			a.refusal.Status = status
			e := a.refusal.Explain(App{
				LoginURL: "https://login.example.test",
				TenantID: "T",
				ClientID: "C",
				Resource: "R",
			})
			line := e.Error()
			oneLine(t, line, advice.MaxLine)

			if e.Problem == "" || e.Remedy == "" {
				t.Fatalf("unexplained: %s", line)
			}

			if len(e.codes()) > 0 && !allowed.MatchString(line) {
				t.Fatalf("foreign text in %q", line)
			}

			if status == 503 && e.dead {
				t.Fatal("dead by a 503")
			}
		}
	})
}

// FuzzParsePasted: for any pasted text a code is returned, or an error that does not
// quote the text.
func FuzzParsePasted(f *testing.F) {
	for _, s := range []string{
		"https://x.test/?code=a&state=b",
		"code=a",
		"0.AXkA-long_enough.code",
		"?error=access_denied&error_description=AADSTS65004%3A+x&state=s",
		"#code=a;b&%zz",
		"\"<>",
		"a://b?c#d?e",
	} {
		f.Add(s)
	}

	f.Fuzz(func(t *testing.T, text string) {
		code, _, err := ParsePasted(text)
		if (err == nil) == code.IsZero() {
			t.Fatalf("code %q, err %v", code.Reveal(), err)
		}

		if err != nil {
			oneLine(t, err.Error(), advice.MaxLine)
		}

		if len(code.Reveal()) > len(text) {
			t.Fatal("more came out than went in")
		}
	})
}

// FuzzInspect: of a token that is not a JWT, or a hostile one, an error or bounded claims
// are returned.
func FuzzInspect(f *testing.F) {
	for _, s := range []string{
		"eyJhbGciOiJub25lIn0." +
			"eyJ0aWQiOiJ4IiwiYXVkIjpbImEiLCJiIl0sInJvbGVzIjpbIngiXSwic2NwIjoiYSBiIiwiZXhwIjoxNzcwMTE2NDAwfQ.",
		"..",
		"a.e30.c",
		"a.bnVsbA.c",
		"opaque",
	} {
		f.Add(s)
	}

	f.Fuzz(func(t *testing.T, token string) {
		c, err := Inspect(secret.New(token))
		if err != nil {
			return
		}

		oneLine(t, c.String(), 600)
		oneLine(t, c.Account(), 200)
	})
}

func oneLine(t *testing.T, s string, limit int) {
	t.Helper()

	if len(s) > limit || !utf8.ValidString(s) ||
		strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsGraphic(r) }) {
		t.Fatalf("not one line of at most %d bytes: %q", limit, s)
	}
}
