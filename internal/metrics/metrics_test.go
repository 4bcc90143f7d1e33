package metrics

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/measure"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/test/golden"
)

// fixed is a source that always shows the same.
type fixed struct {
	units []measure.Unit
	input measure.Input
	fault error // of Ready
}

func (f *fixed) Units() []measure.Unit       { return slices.Clone(f.units) }
func (f *fixed) Input() measure.Input        { return f.input }
func (f *fixed) Ready(context.Context) error { return f.fault }

// anyPort lets the kernel choose; where returns what it chose.
var anyPort = Settings{Address: "127.0.0.1:0"}

func (s *Servers) where(settings Settings) string {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.open[settings.Address].listener.Addr().String()
}

func scrape(t *testing.T, address string) string {
	t.Helper()

	res, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()

	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 200 {
		t.Fatalf("%d %v\n%s", res.StatusCode, err, text)
	}

	return string(text)
}

// noon is the present of the tests.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// customer returns a unit that works, at the usual sign-in service.
func customer(id, name string, change ...func(*measure.Unit)) measure.Unit {
	u := measure.Unit{
		Key: alert.UnitKey{
			LoginHost: "login.microsoftonline.com",
			TenantID:  alert.TenantID(id),
			API:       "graph",
		},
		Status: store.Status{
			TenantName:  name,
			State:       health.OK,
			Since:       noon.Add(-time.Hour),
			LastSuccess: noon.Add(-20 * time.Second),
			LagSeconds:  20.5,
		},
		Reading: new(measure.Counters).Read(),
	}
	for _, c := range change {
		c(&u)
	}

	return u
}

// everything is a source in which every metric has a sample.
func everything() *fixed {
	counters := new(measure.Counters)
	for _, d := range []time.Duration{50 * time.Millisecond, time.Second, 2 * time.Second, time.Hour} {
		counters.Poll(d)
	}

	for _, d := range []time.Duration{-time.Second, 45 * time.Second, 48 * time.Hour} {
		counters.Alert(d)
	}

	counters.Failed(advice.Throttled)
	counters.Failed(advice.Throttled)
	counters.Failed(advice.Unreachable)

	for _, code := range []int{200, 200, 429, measure.NoAnswer} {
		counters.Answered(code)
	}

	return &fixed{
		units: []measure.Unit{
			customer("b", "fabrikam", func(u *measure.Unit) {
				u.Key.LoginHost = "login.microsoftonline.us"
				u.Key.StateID = "x"
				u.Status.State = health.Failing
				u.Status.Trouble = health.Trouble{Reason: advice.Throttled, Message: "the service asked to wait"}
				u.Status.LastSuccess = time.Time{}
			}),
			customer("a", "contoso \"&\" \\Söhne\n\xff", func(u *measure.Unit) {
				u.Status.Emitted = 3
				u.Status.Repeats = 4
				u.Status.Deferred = 5
				u.Status.LastAlert = noon.Add(-time.Minute)
				u.Reading = counters.Read()
				u.Throttled = 1500 * time.Millisecond
				u.Ends = measure.Ends{
					RefreshToken: noon.AddDate(0, 0, 90),
					Credential:   noon.AddDate(0, 1, 0),
					Relationship: noon.AddDate(1, 0, 0),
				}
			}),
		},
		input: measure.Input{
			Bytes:        42,
			Events:       7,
			Blocked:      true,
			FileRejected: true,
			StoreErrors:  9,
			Discovery: measure.Discovery{
				On:     true,
				Failed: true,
				Listed: noon.Add(-time.Hour),
			},
			Notice: &health.Trouble{
				Reason:  advice.RoleMissing,
				Message: "the provider's customers cannot be listed",
				Remedy:  "sign in as another",
			},
			Nodes: []measure.Node{{
				ID:        "pod-\"0\"",
				Held:      2,
				Wanted:    3,
				Unowned:   1,
				Live:      2,
				LeaseAge:  1500 * time.Millisecond,
				TTL:       15 * time.Second,
				Takeovers: 4,
				Lost:      5,
				Fenced:    6,
				Calls: []store.CallStats{
					{
						Call:   "commit",
						Count:  8,
						Failed: 1,
						Took:   250 * time.Millisecond,
					},
					{
						Call:   "renew",
						Count:  9,
						Failed: 2,
						Took:   90 * time.Millisecond,
					},
				},
			}},
		},
	}
}

func TestUnitsOfOtherNodesAreNoSeriesOfThisOne(t *testing.T) {
	src := everything()
	before := exposed(t, src)

	src.units = append(src.units, customer("z", "elsewhere", func(u *measure.Unit) {
		u.Shared, u.Elsewhere = true, true
	}))
	if after := exposed(t, src); after != before {
		t.Errorf("it was\n%s\nand is\n%s", before, after)
	}
}

func TestInputsOfOneNodeShowItOnce(t *testing.T) {
	a, b := everything(), everything()

	b.units = nil
	if one, two := exposed(t, a), exposed(t, a, b); nodeLines(one) != nodeLines(two) || nodeLines(one) == "" {
		t.Errorf("one input shows\n%s\ntwo show\n%s", nodeLines(one), nodeLines(two))
	}
}

// nodeLines returns the samples about nodes and calls.
func nodeLines(text string) string {
	return strings.Join(regexp.MustCompile(`(?m)^defender_.*(node_id|call)=.*$`).FindAllString(text, -1), "\n")
}

// exposed returns what Prometheus gets to see of a source.
func exposed(t *testing.T, sources ...Source) string {
	t.Helper()

	v := &server{sources: sources}

	var text bytes.Buffer

	s := v.gather(noon)
	if err := s.writeMetrics(&text); err != nil {
		t.Fatal(err)
	}

	return text.String()
}

func TestGoldenExposition(t *testing.T) {
	text := exposed(t, everything())
	build := regexp.MustCompile(`(?m)^(defender_build_info)\{.*\}`)
	golden.File(t, "../../testdata/metrics/exposition.golden", build.ReplaceAllString(text, "$1{…}"))
}

func TestPromtoolFindsNothingWrongWithTheMetrics(t *testing.T) {
	promtool := tool(t, "promtool")
	check := exec.Command(promtool, "check", "metrics")

	check.Stdin = strings.NewReader(exposed(t, everything()))
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v: %s", err, out)
	}
}

func TestInputsThatNameOneAddressShareItAndTheLastOneClosesIt(t *testing.T) {
	var s Servers

	one := &fixed{
		units: []measure.Unit{customer("a", "contoso")},
		input: measure.Input{Bytes: 42},
	}
	two := &fixed{
		units: []measure.Unit{customer("b", "fabrikam")},
		input: measure.Input{Bytes: 42, Blocked: true},
	}

	leaveOne, err := s.Serve(anyPort, one)
	if err != nil {
		t.Fatal(err)
	}

	leaveTwo, err := s.Serve(anyPort, two)
	if err != nil {
		t.Fatal(err)
	}

	address := s.where(anyPort)

	text := scrape(t, address)
	for _, want := range []string{
		`defender_up{tenant_id="a",api="graph"} 1`,
		`defender_up{tenant_id="b",api="graph"} 1`,
		"defender_buffer_bytes 84",
		"defender_delivery_blocked 1",
		"go_goroutines ",
		"process_open_fds ",
	} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("missing: %s\n%s", want, text)
		}
	}

	leaveOne()
	leaveOne()

	if text := scrape(t, address); strings.Contains(text, "contoso") || !strings.Contains(text, "fabrikam") {
		t.Errorf("after one has left:\n%s", text)
	}

	leaveTwo()

	if _, err := http.Get("http://" + address + "/metrics"); err == nil {
		t.Error("the listener is still open")
	}
}

func TestAnAddressInUseIsAClearError(t *testing.T) {
	var a, b Servers

	leave, err := a.Serve(anyPort, &fixed{})
	if err != nil {
		t.Fatal(err)
	}
	defer leave()

	_, err = b.Serve(Settings{Address: a.where(anyPort)}, &fixed{})
	if err == nil || !strings.Contains(err.Error(), "metrics_listen") {
		t.Errorf("got %v", err)
	}
}

func TestUnitsThatDifferInOnePartOfTheirKeyAreToldApart(t *testing.T) {
	same := customer("a", "contoso")
	gov, siem, other := same, same, same
	gov.Key.LoginHost, siem.Key.API, other.Key.StateID = "login.microsoftonline.us", "siem", "x"

	text := exposed(t, &fixed{units: []measure.Unit{same, gov, siem, other}})
	series := make(map[string]bool)

	for line := range strings.Lines(text) {
		if name, _, ok := strings.Cut(line, " "); ok && !strings.HasPrefix(line, "#") {
			if series[name] {
				t.Errorf("%s comes twice", name)
			}

			series[name] = true
		}
	}

	for _, labels := range []string{
		`tenant_id="a",api="graph"`,
		`tenant_id="a",api="graph",login_host="login.microsoftonline.us"`,
		`tenant_id="a",api="siem"`,
		`tenant_id="a",api="graph",state_id="x"`,
	} {
		if !series["defender_up{"+labels+"}"] {
			t.Errorf("no series with %s", labels)
		}
	}
}
