package simulator_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"fluent-bit-defender/internal/test/golden"
	"fluent-bit-defender/internal/testbed/simulator"
)

// TestGoldenRows holds the shape of each API's rows.
func TestGoldenRows(t *testing.T) {
	f := start(t)
	at := time.Date(2026, 2, 3, 9, 13, 31, 722_023_900, time.UTC)
	f.Add(contoso, simulator.Alert{
		ID:              "da639057068110345678_-1029384756",
		IncidentID:      4711,
		Title:           "Suspicious \"service\" launch",
		Description:     "Line one.\n\nLine two: 日本語 😀",
		Category:        "Execution",
		Severity:        "Medium",
		Status:          "Resolved",
		Created:         at,
		Updated:         at.Add(2 * time.Second).Truncate(10 * time.Millisecond),
		Machine:         "wks-0042.corp.example",
		DeviceID:        "00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff",
		MachineGroup:    "A",
		Techniques:      []string{"T1564.001"},
		DetectionSource: "scheduledAlerts",
		ServiceSource:   "microsoftSentinel",
		Escapes:         simulator.EscapeASCII,
		Comments:        []simulator.Comment{{Text: "text", By: "soc@mssp.example", At: at.Add(time.Hour)}},
		Evidence: []simulator.Evidence{
			{
				Type:        "User",
				Created:     at,
				AccountName: "user1",
				DomainName:  "CORP",
				UserSID:     "S-1-5-21-1",
			},
			{
				Type:            "Process",
				Created:         at,
				Sha1:            strings.Repeat("1", 40),
				FileName:        "rundll32.exe",
				FilePath:        `C:\Windows`,
				CommandLine:     "rundll32.exe x.dll,Run",
				ProcessID:       3276,
				ParentProcessID: 8420,
			},
			{
				Type:              "File",
				Created:           at,
				FileName:          "x.dll",
				FileSize:          9007199254740993,
				RemediationStatus: "active",
			},
			{
				Type:      "Ip",
				Created:   at,
				IPAddress: "192.0.2.10",
			},
			{Type: "Url", Created: at, URL: "https://evil.example/?a=1&b=2"},
			{
				Type:          "Registry",
				Created:       at,
				RegistryKey:   `SOFTWARE\X`,
				RegistryValue: "v",
			},
			{Type: "Device", Created: at},
		},
		Detections: []simulator.Detection{
			{
				IocUniqueID:   "c2FtcGxl",
				AlertTime:     at.Add(-3 * time.Minute),
				LastProcessed: at.Add(8 * time.Second),
				FileName:      "loader.exe",
				FilePath:      `C:\ProgramData\tmp`,
				Sha1:          strings.Repeat("2", 40),
				ReportID:      1234567890,
			},
		},
	})

	for _, api := range simulator.APIs() {
		t.Run(api, func(t *testing.T) {
			var row json.RawMessage
			for _, row = range f.Ledger(contoso, api).Exists {
			}

			var pretty bytes.Buffer
			if err := json.Indent(&pretty, row, "", "  "); err != nil {
				t.Fatal(err)
			}

			pretty.WriteByte('\n')

			file := filepath.Join("..", "..", "..", "testdata", "simulator", api+".json")
			golden.File(t, file, pretty.String())
		})
	}
}

// TestKeysAreThoseOfMicrosoftsSamples compares with the documents' own samples, where
// they are at hand.
func TestKeysAreThoseOfMicrosoftsSamples(t *testing.T) {
	samples := filepath.Join("..", "..", "..", "..", "shared", "samples", "msdocs")
	if _, err := os.Stat(samples); err != nil {
		t.Skip("the samples are not part of the project")
	}

	keysOf := func(r gjson.Result) (list []string) {
		r.ForEach(func(k, _ gjson.Result) bool {
			list = append(list, k.Str)
			return true
		})

		return list
	}
	read := func(file, path string) gjson.Result {
		b, err := os.ReadFile(filepath.Join(samples, file))
		if err != nil {
			t.Fatal(err)
		}

		return gjson.GetBytes(b, path)
	}

	golden := func(api, path string) gjson.Result {
		b, err := os.ReadFile(filepath.Join("..", "..", "..", "testdata", "simulator", api+".json"))
		if err != nil {
			t.Fatal(err)
		}

		return gjson.GetBytes(b, path)
	}

	got := keysOf(golden(simulator.SIEM, "@this"))
	want := keysOf(read("siem_pull_alerts_using_rest_api.json", "0"))
	if !slices.Equal(got, want) {
		t.Errorf("siem: got %v\nwant %v", got, want)
	}

	missing := func(name string, got, want []string) {
		for _, k := range want {
			if !slices.Contains(got, k) {
				t.Errorf("%s: no %s", name, k)
			}
		}
	}
	missing(
		"endpoint",
		keysOf(golden(simulator.Endpoint, "@this")),
		keysOf(read("mde_get_alerts_example2_expand_evidence.json", "value.0")),
	)
	missing(
		"endpoint evidence",
		keysOf(golden(simulator.Endpoint, "evidence.0")),
		keysOf(read("mde_get_alerts_example2_expand_evidence.json", "value.0.evidence.0")),
	)
	missing("graph", keysOf(golden(simulator.Graph, "@this")), keysOf(read("graph_list_alerts_v2.json", "value.0")))
}
