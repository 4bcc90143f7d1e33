package fluentbit

import "testing"

func TestAPatternMatchesATagAsFluentBitDoes(t *testing.T) {
	for _, c := range []struct {
		pattern, tag string
		want         bool
	}{
		{"*", "a.b", true}, {"a.*", "a.b", true}, {"a.*", "a", false}, {"a*", "a", true}, {"*b", "a.b", true},
		{"*.b", "a.c", false}, {"a.*.c", "a.b.c", true},
		{"a.*.c", "a.c", false}, {"a.b", "a.b", true}, {"a.b", "a.b.c", false}, {"A.*", "a.b", false},
		{"a*a", "a", false}, {"**", "x", true},
	} {
		got := (Section{Kind: "output", Props: []Prop{{Key: "Match", Value: c.pattern}}}).Matches(c.tag)
		if got != c.want {
			t.Errorf("%q, %q = %v", c.pattern, c.tag, got)
		}
	}
}

func TestAnExpressionMatchesFromTheBeginningOfATag(t *testing.T) {
	for expr, want := range map[string]bool{
		"contoso":            false,
		"defender":           true,
		".*contoso$":         true,
		"/defender\\.con/":   true,
		"nothing|defender.c": true,
		"(?<named>beyond us": true,
	} {
		sec := Section{Kind: "output", Props: []Prop{{Key: "Match_Regex", Value: expr}}}
		if got := sec.Matches("defender.contoso"); got != want {
			t.Errorf("%q: %v", expr, got)
		}
	}
}
