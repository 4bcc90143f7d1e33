package receiver

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestBulkTakesWhatADataStreamTakes(t *testing.T) {
	const pair = `{"create":{"_index":"i","_id":"%s"}}` + "\n" + `{"@timestamp":"2026-02-03T09:13:31.721Z","a":1}` +
		"\n"

	for name, c := range map[string]struct {
		path, auth, body string
		status           int
		answer           string
		documents        int
	}{
		"two documents": {"/_bulk?pipeline=p", "Basic dTpw", fmt.Sprintf(pair+pair, "1", "2"), 200, `"errors":false`,
			2},
		"the same twice": {"/_bulk?pipeline=p", "Basic dTpw", fmt.Sprintf(pair+pair, "1", "1"), 200, `"status":409`,
			1},
		"another pipeline": {"/_bulk", "Basic dTpw", fmt.Sprintf(pair, "1"), 400, "pipeline", 0},
		"another key":      {"/_bulk?pipeline=p", "Basic eDpw", fmt.Sprintf(pair, "1"), 400, "credential", 0},
		"another action": {"/_bulk?pipeline=p", "Basic dTpw",
			strings.Replace(fmt.Sprintf(pair, "1"), "create", "index", 1), 400, "action", 0},
		"no time": {"/_bulk?pipeline=p", "Basic dTpw", strings.Replace(fmt.Sprintf(pair, "1"), "@timestamp", "t", 1),
			400, "@timestamp", 0},
		"another index": {"/_bulk?pipeline=p", "Basic dTpw", strings.Replace(fmt.Sprintf(pair, "1"), `"i"`, `"j"`, 1),
			200, `"status":403`, 0},
		"half a pair": {"/_bulk?pipeline=p", "Basic dTpw", `{"create":{}}` + "\n", 400, "pairs", 0},
		"no end":      {"/_bulk?pipeline=p", "Basic dTpw", `{"create":{}}`, 400, "line break", 0},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := StartBulk(BulkConfig{
				Index:    "i",
				Pipeline: "p",
				User:     "u",
				Password: "p",
			})
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()

			r, err := http.NewRequest(
				http.MethodPost, fmt.Sprintf("http://127.0.0.1:%d%s", b.Port(), c.path), strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}

			r.Header.Set("Authorization", c.auth)
			r.Header.Set("Content-Type", "application/x-ndjson")

			a, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer a.Body.Close()

			body, err := io.ReadAll(a.Body)
			if err != nil {
				t.Fatal(err)
			}

			if a.StatusCode != c.status || !strings.Contains(string(body), c.answer) ||
				len(b.Documents()) != c.documents {
				t.Errorf("%d %s, %d documents", a.StatusCode, body, len(b.Documents()))
			}
		})
	}
}
