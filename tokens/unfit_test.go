package tokens_test

import (
	"strings"
	"testing"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/tokens"
	"fluent-bit-defender/tokens/tokenstest"
)

// unfit are texts that cannot be refresh tokens, as they stand in JSON.
var unfit = map[string]string{
	"too long":     strings.Repeat("x", secret.MaxToken+1),
	"control":      `rt-new\u0007`,
	"line end":     `rt-new\nrt-new`,
	"beyond ASCII": "rt-new–",
	"bidi mark":    `rt-new\u202e`,
}

func TestAnUnfitRefreshTokenOfAnAnswerIsRefused(t *testing.T) {
	for name, text := range unfit {
		answer := `{"token_type":"Bearer","access_token":"at","expires_in":3600,"refresh_token":"` + text + `"}`
		f := &fake{answer: func(asked) (int, string) { return 200, answer }}
		store := stored(t, "rt0", "")
		s := newSource(t, tokens.SourceConfig{App: app(tokens.V2), Store: store, HTTP: f.client()})

		e := fails(t, s)
		if !strings.Contains(e.Problem, "the refresh token in the answer") || strings.Contains(e.Error(), "rt-new") {
			t.Errorf("%s: %v", name, e)
		}

		if c := load(t, store); c.Refresh.Reveal() != "rt0" || !c.Dead.IsZero() {
			t.Errorf("%s: stored %q, dead %v", name, c.Refresh.Reveal(), c.Dead)
		}

		f.set(nil)

		if got := token(t, s); got != "at1" {
			t.Errorf("%s: %s once the answers are sound", name, got)
		}
	}
}

func TestAnUnfitConfiguredRefreshTokenIsNeverSent(t *testing.T) {
	for name, text := range map[string]string{
		"too long":     strings.Repeat("x", secret.MaxToken+1),
		"control":      "rt\x07",
		"two lines":    "rt\nrt",
		"beyond ASCII": "rt–",
	} {
		f := &fake{}
		store := tokenstest.New()
		s := newSource(t, tokens.SourceConfig{
			App:   app(tokens.V2),
			Store: store,
			Seed:  seed(text),
			HTTP:  f.client(),
		})

		e := fails(t, s)
		if e.Fate != advice.NeedsFix || !strings.Contains(e.Error(), "refresh_token_file") || len(f.sent()) != 0 {
			t.Errorf("%s: %v, %d requests", name, e, len(f.sent()))
		}

		if store.Saves() != 0 {
			t.Errorf("%s: something was stored", name)
		}
	}
}

func TestAnUnfitRefreshTokenIsNotAdopted(t *testing.T) {
	store := tokenstest.New()
	for _, text := range []string{strings.Repeat("x", secret.MaxToken+1), "rt\x00", "rt\r\n", "rt–"} {
		err := tokens.Adopt(t.Context(), store, app(tokens.V2).ChainKey(), tokens.SignIn{
			Refresh: secret.New(text),
			At:      newClock().Now(),
		})
		if err == nil || !strings.Contains(err.Error(), "not stored") {
			t.Errorf("%q: %v", text[:2], err)
		}
	}

	if store.Saves() != 0 {
		t.Error("something was stored")
	}
}

func TestAnUnfitPastedCodeIsRefused(t *testing.T) {
	for name, text := range map[string]string{
		"control in an address":      "https://x.test/?code=0.AXkA%07&state=s",
		"beyond ASCII in an address": "https://x.test/?code=0.AXkA%E2%80%93&state=s",
		"a bare code beyond ASCII":   "0.AXkA-long_enough–code",
		"too long":                   strings.Repeat("x", secret.MaxToken+1),
	} {
		code, _, err := tokens.ParsePasted(text)
		if err == nil || !code.IsZero() || strings.Contains(err.Error(), "AXkA") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
