package cli

import (
	"bytes"
	"testing"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/record"
	"fluent-bit-defender/internal/tick"
	"fluent-bit-defender/internal/wiring"
)

func TestPullTakesTheTimesThatTheInputTakes(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

	for name, c := range map[string]struct {
		api     alert.API
		updates bool
		row     string
		printed bool
	}{
		"the year 1 is no time": {alert.Graph, true, `{"id":"a","lastUpdateDateTime":"0001-01-01T00:00:00Z"}`, true},
		"by creation": {
			alert.Graph,
			false,
			`{"id":"a","lastUpdateDateTime":"2026-03-01T11:30:00Z","createdDateTime":"2026-02-01T00:00:00Z"}`,
			false,
		},
		"siem goes by the time it processed": {
			alert.SIEM,
			false,
			`{"FullId":"a","LastProcessedTimeUtc":"2026-03-01T11:30:00Z","AlertTime":"2026-02-01T00:00:00Z"}`,
			true,
		},
		"siem, processed before what is asked": {
			alert.SIEM,
			false,
			`{"FullId":"a","LastProcessedTimeUtc":"2026-02-01T00:00:00Z","AlertTime":"2026-03-01T11:30:00Z"}`,
			false,
		},
	} {
		var out bytes.Buffer

		tenant := config.Tenant{
			TenantID:   "contoso.example",
			TenantName: "contoso",
			API:        c.api,
			Updates:    c.updates,
			TimeField:  "updated",
			Format:     record.FormatJSON,
		}
		identifier, encoder := partsOf(t, tenant)

		s := newPullSink(identifier, encoder, &out, tick.FromTime(now.Add(-time.Hour)), 0, 0, now)
		if err := s.Row([]byte(c.row)); err != nil {
			t.Fatal(err)
		}

		if err := s.flush(maxTick); err != nil {
			t.Fatal(err)
		}

		if got := out.Len() > 0; got != c.printed {
			t.Errorf("%s: printed %q", name, out.String())
		}
	}
}

// partsOf returns what a sink needs of a tenant.
func partsOf(t *testing.T, tenant config.Tenant) (*alert.Identifier, *record.Encoder) {
	t.Helper()

	encoder, err := wiring.NewEncoder(tenant)
	if err != nil {
		t.Fatal(err)
	}

	identifier, err := wiring.NewIdentifier(tenant)
	if err != nil {
		t.Fatal(err)
	}

	return identifier, encoder
}
