package defender

import "testing"

// cursorSteps are situations, each with the rule that applies.
var cursorSteps = []struct {
	name string
	view view
	rule string
	then step
}{
	{"a link is refused", view{refused: true, byLink: true}, "refused link", useSkip},
	{"a link is refused behind others", view{
		refused:    true,
		byLink:     true,
		linksEnded: true,
	}, "refused link", useSkip},
	{"the last page of links is full and $skip is refused", view{refused: true, linksEnded: true, canNearer: true},
		"refused $skip behind the last link", stopWhole},
	{"$skip is refused", view{
		refused:   true,
		canNearer: true,
	}, "refused $skip, a smaller one may be accepted", useNearerSkip},
	{"a smaller $skip is refused too", view{refused: true, nearer: true}, "refused $skip", stopUnknown},

	{"newest first", view{unordered: true, left: true}, "other order", stopUnordered},
	{"a row is later", view{
		left: true,
		full: true,
		more: true,
		link: true,
	}, "later time", stopWhole},
	{"the last page of those that are read", view{
		long: true,
		link: true,
		more: true,
	}, "endless pages", stopUnknown},

	{"a smaller $skip, the page is not full", view{
		nearer: true,
		stale:  true,
	}, "smaller $skip reaches the end", stopWhole},
	{"a smaller $skip, new rows, not full", view{nearer: true}, "smaller $skip reaches the end", stopWhole},
	{"a smaller $skip, the page is full", view{
		nearer: true,
		full:   true,
	}, "smaller $skip is not enough", stopUnknown},
	{"a smaller $skip, and there is more", view{
		nearer: true,
		more:   true,
	}, "smaller $skip is not enough", stopUnknown},

	{"a linked page is known and names more", view{
		stale:  true,
		byLink: true,
		more:   true,
		link:   true,
	}, "links lead back", useSkip},
	{"a linked page is known and is the last", view{stale: true, byLink: true}, "last link leads back", stopWhole},
	{"the same page again by $skip", view{stale: true, stuck: true, full: true}, "ignored $skip", stopUnknown},
	{"the same page again, not full", view{stale: true, stuck: true}, "ignored $skip", stopUnknown},
	{"known rows by $skip", view{stale: true, full: true}, "known rows", useSkip},

	{"a hundred empty pages", view{
		none:  true,
		blank: true,
		more:  true,
		link:  true,
	}, "empty pages without end", stopUnknown},
	{"a link", view{more: true, link: true}, "link", followLink},
	{"an empty page with a link", view{none: true, more: true, link: true}, "link", followLink},
	{"a link that was followed before", view{more: true}, "full page", useSkip},
	{"a page that is not full, without a link", view{}, "last page", stopWhole},
	{"an empty page without a link", view{none: true}, "last page", stopWhole},
	{"a full page without a link", view{full: true}, "full page", useSkip},
}

// TestCursorRules: each situation has one rule, whatever else is seen at the same time.
func TestCursorRules(t *testing.T) {
	for _, test := range cursorSteps {
		rule := ruleFor(test.view)
		if rule.name != test.rule || rule.then != test.then {
			t.Errorf("%s: rule %q, step %d; want %q, %d", test.name, rule.name, rule.then, test.rule, test.then)
		}
	}
}

// TestEveryCursorRuleCounts: no rule is hidden by the ones before it, and each end that
// is unknown says why.
func TestEveryCursorRuleCounts(t *testing.T) {
	used := map[string]bool{}

	for bits := range 1 << 15 {
		bit := func(n int) bool { return bits>>n&1 == 1 }
		used[ruleFor(view{
			refused:    bit(0),
			byLink:     bit(1),
			nearer:     bit(2),
			canNearer:  bit(3),
			linksEnded: bit(4),
			unordered:  bit(5),
			left:       bit(6),
			none:       bit(7),
			stale:      bit(8),
			more:       bit(9),
			link:       bit(10),
			full:       bit(11),
			stuck:      bit(12),
			blank:      bit(13),
			long:       bit(14),
		}).name] = true
	}

	for _, rule := range cursorRules {
		if !used[rule.name] {
			t.Errorf("%q never applies", rule.name)
		}

		if (rule.then == stopUnknown) != (rule.why != "") {
			t.Errorf("%q: then %d, why %q", rule.name, rule.then, rule.why)
		}
	}
}

// TestARefusalIsNeverTheEnd: a refused request ends a pass as whole only behind a list
// whose links have ended.
func TestARefusalIsNeverTheEnd(t *testing.T) {
	for bits := range 1 << 4 {
		v := view{
			refused:    true,
			byLink:     bits&1 != 0,
			nearer:     bits&2 != 0,
			canNearer:  bits&4 != 0,
			linksEnded: bits&8 != 0,
		}
		if then := ruleFor(v).then; then == stopWhole && !v.linksEnded {
			t.Errorf("%+v is taken for the end", v)
		}
	}
}
