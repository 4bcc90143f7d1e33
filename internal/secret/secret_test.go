package secret

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestNoPrinterShowsASecret(t *testing.T) {
	const hidden = "s3cr3t-value"

	type inner struct{ private Text }

	type config struct {
		Public  Text
		Pointer *Text
		inner   inner
		List    []Text
		Map     map[string]Text
	}

	s := New(hidden)
	c := config{s, &s, inner{s}, []Text{s}, map[string]Text{"k": s}}

	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%T"} {
		fmt.Fprintf(&out, verb+verb+verb+"\n", s, c, &c)
	}

	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}

	out.Write(b)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "s", s, "c", c)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "s", s, "c", c)
	fmt.Fprintln(&out, fmt.Errorf("wrapped: %v", s))

	if strings.Contains(out.String(), hidden) || strings.Contains(out.String(), fmt.Sprintf("%x", hidden)) {
		t.Fatalf("a printer shows the secret:\n%s", out.String())
	}

	if s.Reveal() != hidden || !s.Equal(New(hidden)) || s.Equal(New("other")) || New("").String() != "" ||
		!New("").IsZero() {
		t.Error("Reveal, Equal or the zero value is wrong")
	}
}

func TestWhatIsNoTokenIsKnown(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		fit  bool
	}{
		"nothing":             {"", true},
		"a token":             {"0.AXkA-_~+/=.eyJ", true},
		"with a blank":        {"0.AXkA 1", true}, // RFC 6749 allows it
		"the longest":         {strings.Repeat("a", MaxToken), true},
		"too long":            {strings.Repeat("a", MaxToken+1), false},
		"a line end":          {"0.AXkA\n1", false},
		"a zero byte":         {"0.AXkA\x001", false},
		"delete":              {"0.AXkA\x7f", false},
		"a typographic dash":  {"0.AXkA–1", false},
		"a byte order mark":   {"\ufeff0.AXkA", false},
		"a right-to-left one": {"0.AXkA\u202e1", false},
	} {
		err := New(tc.text).CheckToken()
		if (err == nil) != tc.fit {
			t.Errorf("%s: %v", name, err)
		}

		if err != nil && tc.text != "" && strings.Contains(err.Error(), "AXkA") {
			t.Errorf("%s: the token stands in %v", name, err)
		}
	}
}
