package simulator_test

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/testbed/simulator"
)

// parsedFaults are what TestParseFaults writes, without the defaults.
var parsedFaults = []simulator.Fault{
	{
		Name:  "429",
		Code:  429,
		Every: 7,
		After: "seconds",
	},
	{
		Name: "cut",
		P:    0.1,
		At:   0.25,
		API:  "siem",
		Kind: "length",
	},
	{
		Name:  "503",
		Code:  503,
		From:  10 * time.Second,
		To:    40 * time.Second,
		After: "date",
		Wait:  time.Minute,
	},
	{
		Name:  "aadsts",
		Code:  70000,
		Count: 1,
		API:   "login",
	},
	{Name: "skew", By: -10 * time.Minute},
	{Name: "late", By: 2 * time.Hour, Tenant: "contoso.example"},
	{Name: "huge", Size: 2_000_000},
	{Name: "clamp", Size: 100},
	{Name: "skip", Kind: "ignored"},
}

func TestParseFaults(t *testing.T) {
	got, err := simulator.ParseFaults(
		"429:every=7, " +
			"cut:p=0.1;at=0.25&api=siem,503:from=10s;to=40s;after=date;wait=1m," +
			"aadsts=70000:count=1,skew=-10m,late:by=2h;tenant=Contoso.example,huge:size=2M,clamp,skip:kind=ignored,",
	)
	if err != nil {
		t.Fatal(err)
	}

	want := slices.Clone(parsedFaults)
	for i := range want {
		w := &want[i]
		if w.Wait == 0 {
			w.Wait = 5 * time.Second
		}

		if w.Rate = 1000; w.Size == 0 {
			w.Size = 20_000_000
		}
	}

	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}

	for _, name := range simulator.FaultNames() {
		if name == "aadsts" {
			continue
		}

		if _, err := simulator.ParseFaults(name); err != nil {
			t.Errorf("%s alone: %v", name, err)
		}
	}
}

func TestParseFaultsRefusals(t *testing.T) {
	for _, grammar := range []string{
		"nothing", "200", "600", "429:", "429:every", "429:every=0", "429:every=-1", "429:every=x",
		"cut:p=2", "cut:p=0", "cut:p=NaN", "cut:p=x",
		"429:every=2;p=0.5", "cut:wait=5s", "429:after=soon", "503:from=10", "503:from=40s;to=10s", "late:every=2",
		"latency:by=-1s", "skew:by=x", "aadsts", "aadsts=x",
		"aadsts=0", "429=5", "junk:kind=xml", "cut:at=1.5",
		"huge:size=0", "huge:size=9G", "drip:rate=0", "429:api=mail", "429:every=2:api=siem",
	} {
		if grammar == "429:" {
			continue // no options is no mistake
		}

		if _, err := simulator.ParseFaults(grammar); !errors.Is(err, simulator.ErrFaults) ||
			!strings.Contains(err.Error(), grammar) {
			t.Errorf("%q: %v", grammar, err)
		}
	}

	f := start(t)
	if err := f.SetFaults("429,nothing"); err == nil {
		t.Error("a broken grammar was taken")
	}

	if a := f.get(simulator.SIEM, contoso, "/api/alerts"); a.status != 200 {
		t.Errorf("half of it is in force: %d", a.status)
	}
}

func FuzzParseFaults(f *testing.F) {
	for _, s := range []string{
		"429:every=7,cut:p=0.1", "aadsts=70000:count=1;from=1s", "skew=-10m", "huge:size=2M&api=all", ",,:", "=:=",
	} {
		f.Add(s)
	}

	f.Fuzz(func(t *testing.T, grammar string) {
		list, err := simulator.ParseFaults(grammar)
		if err != nil {
			if !errors.Is(err, simulator.ErrFaults) {
				t.Errorf("%q: %v", grammar, err)
			}

			return
		}

		for _, x := range list {
			if x.P < 0 || x.P > 1 || x.Every < 0 || x.At < 0 || x.At > 1 || x.Size < 1 || x.Rate < 1 || x.Wait < 0 ||
				x.To != 0 && x.To <= x.From {
				t.Errorf("%q gave %+v", grammar, x)
			}
		}
	})
}
