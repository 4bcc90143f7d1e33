package alert

import (
	"testing"

	"fluent-bit-defender/internal/tick"
)

// Which row is which, and when: the same for the input and for `defenderctl pull`.
func TestARowCountsAsOneVersionOfOneAlert(t *testing.T) {
	const (
		early = "2026-02-01T00:00:00Z"
		late  = "2026-03-01T11:30:00Z"
		graph = `{"id":"a","lastUpdateDateTime":"` + late + `","createdDateTime":"` + early + `"}`
		siem  = `{"FullId":"a","LastProcessedTimeUtc":"` + late + `","AlertTime":"` + early + `"}`
		year1 = `{"id":"a","lastUpdateDateTime":"0001-01-01T00:00:00Z","createdDateTime":"0001-01-01T00:00:00Z"}`
	)

	read := Moment{Present: 7, Now: 9}

	for name, test := range map[string]struct {
		api     API
		updates bool
		field   TimeField
		raw     string
		at      tick.Tick
		time    tick.Tick
		undated bool
	}{
		"by update":              {Graph, true, TimeUpdated, graph, at(t, late), at(t, late), false},
		"by creation":            {Graph, false, TimeUpdated, graph, at(t, early), at(t, late), false},
		"siem is never by that":  {SIEM, false, TimeCreated, siem, at(t, late), at(t, early), false},
		"events at creation":     {Graph, true, TimeCreated, graph, at(t, late), at(t, early), false},
		"events at reading":      {Graph, true, TimeNow, graph, at(t, late), 9, false},
		"no time at all":         {Graph, true, TimeUpdated, `{"id":"a"}`, 7, 9, true},
		"the year 1 is no time":  {Graph, true, TimeUpdated, year1, 7, 9, true},
		"nor is it for creation": {Graph, false, TimeCreated, year1, 7, 9, true},
	} {
		i := identifier(t, Rules{
			API:       test.api,
			TenantID:  "t",
			Updates:   test.updates,
			TimeField: test.field,
		})

		v := i.Identify([]byte(test.raw), read)
		if v.At != test.at || v.Time != test.time || v.Undated != test.undated {
			t.Errorf("%s: at %v, undated %t, time %v", name, v.At, v.Undated, v.Time)
		}
	}
}

func TestRepeatsAreToldFromVersions(t *testing.T) {
	const (
		first  = `{"id":"a","lastUpdateDateTime":"2026-03-01T11:30:00Z"}`
		again  = `{"lastUpdateDateTime":"2026-03-01T11:30:00.0Z","id":"a","x":1}`
		second = `{"id":"a","lastUpdateDateTime":"2026-03-01T11:31:00Z"}`
		bare   = `{"id":"a"}`
		bareX  = `{"id":"a","x":1}`
	)
	for name, test := range map[string]struct {
		updates  bool
		a, b     string
		repeat   bool
		sameText bool // the record_id is the same
	}{
		"the same version":             {true, first, again, true, true},
		"another version":              {true, first, second, false, false},
		"another version, firsts only": {false, first, second, true, false},
		"no version, the same bytes":   {true, bare, bare, true, true},
		"no version, other bytes":      {true, bare, bareX, false, true},
	} {
		i := identifier(t, Rules{API: Graph, TenantID: "t", Updates: test.updates})

		a, b := i.Identify([]byte(test.a), Moment{}), i.Identify([]byte(test.b), Moment{})
		if (a.Repeat == b.Repeat) != test.repeat || (a.ID == b.ID) != test.sameText {
			t.Errorf("%s: %v %x, %v %x", name, a.ID, a.Repeat, b.ID, b.Repeat)
		}
	}
}

func TestAnUnknownTimeFieldIsAnError(t *testing.T) {
	if _, err := NewIdentifier(Rules{API: Graph, TimeField: "later"}); err == nil {
		t.Error("there is an Identifier")
	}
}

func TestIdentifyingDoesNotAllocate(t *testing.T) {
	for _, api := range APIs() {
		raw, i := benchRow(t, api), identifier(t, Rules{API: api, TenantID: contoso, Updates: true})
		if n := testing.AllocsPerRun(100, func() { i.Identify(raw, Moment{}) }); n > 0 {
			t.Errorf("%s: %.0f allocations", api, n)
		}
	}
}

func identifier(t *testing.T, r Rules) *Identifier {
	t.Helper()

	i, err := NewIdentifier(r)
	if err != nil {
		t.Fatal(err)
	}

	return i
}

func at(t *testing.T, s string) tick.Tick {
	t.Helper()

	v, err := tick.Parse(s)
	if err != nil {
		t.Fatal(err)
	}

	return v
}
