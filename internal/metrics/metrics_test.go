package metrics

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/store"
)

type source map[alert.UnitKey]store.Status

type pointer struct{ source }

func (s pointer) Statuses() map[alert.UnitKey]store.Status { return s.source }
func (s pointer) Waiting() int                             { return 42 }
func (s pointer) Blocked() bool                            { return true }

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

func TestInputsThatNameOneAddressShareItAndTheLastOneClosesIt(t *testing.T) {
	var s Servers
	at := time.Unix(1700000000, 0)
	one := &pointer{
		source{
			{LoginHost: "login.example", TenantID: "a", API: "graph"}: {
				TenantName:  "contoso",
				State:       "ok",
				Emitted:     3,
				LagSeconds:  1.5,
				LastSuccess: at,
			},
		},
	}
	two := &pointer{
		source{
			{LoginHost: "login.example", TenantID: "b", API: "siem"}: {
				TenantName: "fabrikam",
				State:      "failing",
				Errors:     7,
			},
		},
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
		`defender_up{api="graph",login_host="login.example",state_id="",tenant="contoso",tenant_id="a"} 1`,
		`defender_up{api="siem",login_host="login.example",state_id="",tenant="fabrikam",tenant_id="b"} 0`,
		`defender_alerts_emitted_total{api="graph",login_host="login.example",state_id="",tenant="contoso",tenant_id="a"} 3`,
		`defender_poll_errors_total{api="siem",login_host="login.example",state_id="",tenant="fabrikam",tenant_id="b"} 7`,
		`defender_last_success_timestamp_seconds{api="graph",login_host="login.example",state_id="",` +
			`tenant="contoso",tenant_id="a"} 1.7e+09`,
		`defender_buffer_bytes 84`,
		`defender_delivery_blocked 1`,
	} {
		if !strings.Contains(text, want) {
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
	leave, err := a.Serve(anyPort, &pointer{})
	if err != nil {
		t.Fatal(err)
	}
	defer leave()
	if _, err := b.Serve(
		Settings{Address: a.where(anyPort)},
		&pointer{},
	); err == nil ||
		!strings.Contains(err.Error(), "metrics_listen") {
		t.Errorf("got %v", err)
	}
}

func TestUnitsThatDifferInOnePartOfTheirKeyAreToldApart(t *testing.T) {
	var s Servers
	unit := alert.UnitKey{LoginHost: "login.microsoftonline.com", TenantID: "a", API: "graph"}
	gov, siem, other := unit, unit, unit
	gov.LoginHost, siem.API, other.StateID = "login.microsoftonline.us", "siem", "x"
	status := store.Status{TenantName: "M\xfcller", State: "ok"} // Latin-1
	leave, err := s.Serve(anyPort, &pointer{source{unit: status, gov: status, siem: status, other: status}})
	if err != nil {
		t.Fatal(err)
	}
	defer leave()
	if text := scrape(
		t,
		s.where(anyPort),
	); strings.Count(text, "\ndefender_up{") != 4 ||
		!strings.Contains(text, `login_host="login.microsoftonline.us"`) {
		t.Error(text)
	}
}
