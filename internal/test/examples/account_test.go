package examples

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	"fluent-bit-defender/internal/testbed/receiver"
	"fluent-bit-defender/internal/testbed/simulator"
)

// unit is a tenant and an API.
type unit struct{ tenantID, tenant, api string }

// expected are the rows that the simulator has for a unit, by the record_id that
// docs/contract.md gives them.
func expected(sim *simulator.Simulator, f unit) map[string]json.RawMessage {
	rows := map[string]json.RawMessage{}

	for key, row := range sim.Ledger(f.tenantID, f.api).Exists {
		identity, version, _ := strings.Cut(key, "\n")
		sum := sha256.Sum256([]byte(f.tenantID + "\n" + f.api + "\n" + identity + "\n" + version))
		rows[hex.EncodeToString(sum[:])[:32]] = row
	}

	return rows
}

// outcome is what came of a unit at a receiver.
type outcome struct{ expected, lost, repeated, bent, foreign int }

func (o outcome) String() string {
	return fmt.Sprintf("of %d alerts: lost %d, repeated %d, bent %d, foreign %d",
		o.expected, o.lost, o.repeated, o.bent, o.foreign)
}

// plus returns the sums of both.
func (o outcome) plus(other outcome) outcome {
	return outcome{
		o.expected + other.expected,
		o.lost + other.lost,
		o.repeated + other.repeated,
		o.bent + other.bent,
		o.foreign + other.foreign,
	}
}

func (o outcome) perfect() bool { return o.lost+o.repeated+o.bent+o.foreign == 0 && o.expected > 0 }

// splunkAlerts are the alerts of a unit among the events of a collector, by record_id.
func splunkAlerts(events []receiver.HECEvent, f unit) map[string][]receiver.HECEvent {
	found := map[string][]receiver.HECEvent{}

	for _, e := range events {
		var head struct {
			MSSP struct {
				Kind     string
				TenantID string `json:"tenant_id"`
				API      string
				RecordID string `json:"record_id"`
			}
		}
		if json.Unmarshal(e.Event, &head) == nil && head.MSSP.Kind == "alert" && head.MSSP.TenantID == f.tenantID &&
			head.MSSP.API == f.api {
			found[head.MSSP.RecordID] = append(found[head.MSSP.RecordID], e)
		}
	}

	return found
}

// accountSplunk holds the events against the rows of the simulator, value by value.
func accountSplunk(t *testing.T, sim *simulator.Simulator, events []receiver.HECEvent, f unit) outcome {
	t.Helper()

	return account(t, expected(sim, f), splunkAlerts(events, f),
		func(row []byte, e receiver.HECEvent, id string) string {
			why := differs(row, e, id, f)
			if why != "" {
				why += "\n" + string(e.Event)
			}

			return why
		})
}

// account holds what arrived against the rows that were expected, both by record_id.
// compare returns what is wrong with what was made of a row, or nothing.
func account[T any](
	t *testing.T, rows map[string]json.RawMessage, found map[string][]T,
	compare func(row []byte, got T, id string) string) outcome {
	t.Helper()

	o := outcome{expected: len(rows)}
	for id, row := range rows {
		got := found[id]
		if len(got) == 0 {
			o.lost++
			continue
		}

		o.repeated += len(got) - 1
		if why := compare(row, got[0], id); why != "" {
			if o.bent++; o.bent < 3 {
				t.Errorf("%s\nof %s", why, row)
			}
		}
	}

	for id := range found {
		if rows[id] == nil {
			o.foreign++
		}
	}

	return o
}

// differs says how an event differs from the row that it was made of.
func differs(row []byte, e receiver.HECEvent, id string, f unit) string {
	if e.Fields["record_id"] != id || e.Host != f.tenant {
		return fmt.Sprintf("field record_id is %q, host %q", e.Fields["record_id"], e.Host)
	}

	want, err := object(row)
	if err != nil {
		return err.Error()
	}

	have, err := object(e.Event)
	if err != nil {
		return err.Error()
	}

	for _, key := range []string{"mssp", "cef"} {
		if v, own := want[key]; own { // docs/contract.md: an alert's own keys of these names are renamed
			want[key+"_"] = v
			delete(want, key)
		}

		delete(have, key)
	}

	return unequal("", want, have)
}

func object(text []byte) (m map[string]any, err error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()

	return m, dec.Decode(&m)
}

// unequal compares two JSON values: whole numbers of 64 bits exactly, others as Fluent
// Bit's JSON can write them.
func unequal(path string, want, have any) string {
	switch w := want.(type) {
	case map[string]any:
		h, ok := have.(map[string]any)
		if !ok || len(h) != len(w) {
			return path + ": another object"
		}

		for k := range w {
			if why := unequal(path+"."+k, w[k], h[k]); why != "" {
				return why
			}
		}

		return ""
	case []any:
		h, ok := have.([]any)
		if !ok || len(h) != len(w) {
			return path + ": another array"
		}

		for i := range w {
			if why := unequal(path+"["+strconv.Itoa(i)+"]", w[i], h[i]); why != "" {
				return why
			}
		}

		return ""
	case json.Number:
		h, ok := have.(json.Number)
		if ok && (whole(w.String()) == whole(h.String()) || near(w, h)) {
			return ""
		}
	default:
		if want == have {
			return ""
		}
	}

	return fmt.Sprintf("%s: %#v is not %#v", path, have, want)
}

// whole returns a number's digits if it is an integer of 64 bits.
func whole(s string) string {
	if _, err := strconv.ParseUint(strings.TrimPrefix(s, "-"), 10, 64); err != nil {
		return "not " + s
	}

	if s == "-0" {
		return "0"
	}

	return s
}

func near(a, b json.Number) bool {
	_, isInt := strconv.ParseInt(a.String(), 10, 64)
	_, isUint := strconv.ParseUint(a.String(), 10, 64)
	x, errX := a.Float64()
	y, errY := b.Float64()

	return isInt != nil && isUint != nil && errX == nil && errY == nil && math.Abs(x-y) <= 1e-9*math.Abs(x)
}

// cefAlerts are the alerts of a tenant and product among lines, by record_id.
func cefAlerts(lines []receiver.CEF, f unit) map[string][]receiver.CEF {
	found := map[string][]receiver.CEF{}

	for _, c := range lines {
		if c.ClassID != "health" && c.Product == productOf(f.api) && c.Values["flexString2"] == f.tenant {
			found[c.Values["cs3"]] = append(found[c.Values["cs3"]], c)
		}
	}

	return found
}

// accountCEF holds the lines against the rows of the simulator and the mapping of
// docs/cef.md.
func accountCEF(t *testing.T, sim *simulator.Simulator, lines []receiver.CEF, f unit) outcome {
	t.Helper()

	return account(t, expected(sim, f), cefAlerts(lines, f), func(row []byte, got receiver.CEF, id string) string {
		alert, err := object(row)
		if err != nil {
			t.Fatal(err)
		}

		return mapped(alert, id, f).differs(got)
	})
}

// parseCEF reads every message, and reports those that are no CEF and the lines that
// the listener refused.
func parseCEF(t *testing.T, s *receiver.Syslog) []receiver.CEF {
	t.Helper()

	var lines []receiver.CEF

	for _, m := range s.Messages() {
		c, err := receiver.ParseCEF(m.Text)
		if err != nil {
			t.Errorf("%v: %s", err, m.Text)
			continue
		}

		lines = append(lines, c)
	}

	for _, f := range s.Faults() {
		t.Error(f)
	}

	return lines
}
