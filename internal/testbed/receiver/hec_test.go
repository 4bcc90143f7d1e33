package receiver

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

const (
	openToken     = "11111111-0000-0000-0000-000000000001"
	boundToken    = "11111111-0000-0000-0000-000000000002"
	disabledToken = "11111111-0000-0000-0000-000000000003"
	ackToken      = "11111111-0000-0000-0000-000000000004"
)

func collector(t *testing.T, change func(*HECConfig)) *HEC {
	t.Helper()

	cfg := HECConfig{
		Tokens: map[string]HECToken{
			openToken:     {},
			boundToken:    {Indexes: []string{"sec", "sec2"}, Index: "sec"},
			disabledToken: {Disabled: true},
			ackToken:      {Ack: true},
		},
	}
	if change != nil {
		change(&cfg)
	}

	h, err := StartHEC(cfg)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { h.Close() })

	return h
}

// post sends a body and returns status, code and, where there is one, the number of the
// bad event.
func post(t *testing.T, h *HEC, body string, headers ...string) string {
	t.Helper()

	r, err := http.NewRequest(
		http.MethodPost,
		fmt.Sprintf("http://127.0.0.1:%d/services/collector/event", h.Port()),
		strings.NewReader(body),
	)
	if err != nil {
		t.Fatal(err)
	}

	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}

	a, err := http.DefaultClient.Do(r)
	if err != nil {
		return "no answer"
	}
	defer a.Body.Close()

	text, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}

	result := fmt.Sprint(a.StatusCode, " ", gjson.GetBytes(text, "code"))
	if bad := gjson.GetBytes(text, "invalid-event-number"); bad.Exists() {
		result += " #" + bad.Raw
	}

	return result
}

func packed(s string) string {
	var b bytes.Buffer

	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, s); err != nil {
		panic(err)
	}

	if err := z.Close(); err != nil {
		panic(err)
	}

	return b.String()
}

func TestHECAnswersAsSplunkDoes(t *testing.T) {
	const (
		auth = "Authorization"
		one  = `{"event":{"a":1}}`
	)
	cases := map[string]struct {
		body    string
		headers []string
		want    string
		events  int
	}{
		"one event":           {one, []string{auth, "Splunk " + openToken}, "200 0", 1},
		"three, concatenated": {one + one + "\r\n" + one, []string{auth, "Splunk " + openToken}, "200 0", 3},
		"gzip": {packed(one + one),
			[]string{auth, "Splunk " + openToken, "Content-Encoding", "gzip"}, "200 0", 2},
		"no gzip after all": {one, []string{auth, "Splunk " + openToken, "Content-Encoding", "gzip"}, "400 6", 0},
		"gzip cut short": {packed(one)[:20], []string{auth, "Splunk " + openToken, "Content-Encoding", "gzip"},
			"400 6", 0},
		"another encoding":      {one, []string{auth, "Splunk " + openToken, "Content-Encoding", "zstd"}, "400 6", 0},
		"no token":              {one, nil, "401 2", 0},
		"a bearer token":        {one, []string{auth, "Bearer " + openToken}, "401 3", 0},
		"an unknown token":      {one, []string{auth, "Splunk 11111111-0000-0000-0000-000000000009"}, "403 4", 0},
		"a disabled token":      {one, []string{auth, "Splunk " + disabledToken}, "403 1", 0},
		"ack without a channel": {one, []string{auth, "Splunk " + ackToken}, "400 10", 0},
		"a channel that is none": {one, []string{auth, "Splunk " + ackToken, "X-Splunk-Request-Channel", "x"},
			"400 11", 0},
		"ack with a channel": {one, []string{auth, "Splunk " + ackToken, "X-Splunk-Request-Channel", openToken},
			"200 0", 1},
		"nothing":                 {" ", []string{auth, "Splunk " + openToken}, "400 5", 0},
		"an array":                {"[" + one + "]", []string{auth, "Splunk " + openToken}, "400 6 #0", 0},
		"null":                    {"null", []string{auth, "Splunk " + openToken}, "400 6 #0", 0},
		"commas between":          {one + "," + one, []string{auth, "Splunk " + openToken}, "400 6 #1", 1},
		"no UTF-8":                {"{\"event\":\"\xff\"}", []string{auth, "Splunk " + openToken}, "400 6 #0", 0},
		"the second is cut":       {one + `{"event":`, []string{auth, "Splunk " + openToken}, "400 6 #1", 1},
		"no event":                {`{"time":1}`, []string{auth, "Splunk " + openToken}, "400 12 #0", 0},
		"a null event":            {`{"event":null}`, []string{auth, "Splunk " + openToken}, "400 12 #0", 0},
		"a blank event":           {`{"event":""}`, []string{auth, "Splunk " + openToken}, "400 13 #0", 0},
		"an unknown key":          {`{"event":1,"Index":"x"}`, []string{auth, "Splunk " + openToken}, "400 6 #0", 0},
		"a time in words":         {`{"event":1,"time":"now"}`, []string{auth, "Splunk " + openToken}, "400 6 #0", 0},
		"a host that is a number": {`{"event":1,"host":1}`, []string{auth, "Splunk " + openToken}, "400 6 #0", 0},
		"nested fields": {`{"event":1,"fields":{"a":{"b":1}}}`, []string{auth, "Splunk " + openToken},
			"400 15 #0", 0},
		"fields that are a list": {`{"event":1,"fields":[1]}`, []string{auth, "Splunk " + openToken}, "400 15 #0", 0},
		"flat fields": {`{"event":1,"fields":{"a":"b","n":1,"l":["x"]}}`,
			[]string{auth, "Splunk " + openToken}, "200 0", 1},
		"an index of the token": {`{"event":1,"index":"sec2"}`, []string{auth, "Splunk " + boundToken}, "200 0", 1},
		"another index": {one + `{"event":1,"index":"main"}`, []string{auth, "Splunk " + boundToken},
			"400 7 #1", 1},
	}

	for name, c := range cases {
		h := collector(t, nil)
		if got := post(t, h, c.body, c.headers...); got != c.want || len(h.Events()) != c.events {
			t.Errorf("%s: answered %s with %d events; want %s with %d", name, got, len(h.Events()), c.want, c.events)
		}
	}
}

func TestHECKeepsWhatAnEventSays(t *testing.T) {
	h := collector(t, nil)
	post(
		t,
		h,
		`{"time":1770110011.722,"host":"h","source":"s","sourcetype":"t","fields":{"record_id":"r"},"event":{"z":1,`+
			`"a":[1.0]}}`,
		"Authorization",
		"Splunk "+boundToken,
	)
	e := h.Events()[0]

	got := fmt.Sprint(e.Token == boundToken, e.Index, e.Host, e.Source, e.Sourcetype, e.Time, e.Fields,
		string(e.Event))
	if want := `truesechst1770110011.722map[record_id:r]{"z":1,"a":[1.0]}`; strings.ReplaceAll(got, " ", "") != want {
		t.Errorf("the event is %s", got)
	}
}

func TestHECFailsOnRequest(t *testing.T) {
	const event = `{"event":1}`

	auth := []string{"Authorization", "Splunk " + openToken}
	h := collector(t, func(c *HECConfig) { c.BusyEvery, c.LoseAnswerEvery, c.MaxContentLength = 4, 3, 20 })

	var got []string
	for range 5 {
		got = append(got, post(t, h, event, auth...))
	}
	// The third was accepted without an answer, which Go's client may have tried again:
	// hence no index beyond it.
	if got[0] != "200 0" || got[1] != "200 0" || len(h.Events()) < 3 || h.Status()[503] == 0 {
		t.Errorf("answers %v, status %v", got, h.Status())
	}

	long := collector(t, func(c *HECConfig) { c.MaxContentLength = 20 })
	if got := post(t, long, event+event, auth...); got != "413 27" {
		t.Errorf("a long body is answered %s", got)
	}

	zipped := packed(`{"event":"` + strings.Repeat("a", 100) + `"}`)
	if got := post(t, long, zipped, append(auth, "Content-Encoding", "gzip")...); got != "413 27" {
		t.Errorf("a long body inside gzip is answered %s", got)
	}

	long.SetDown(true)

	if got := post(t, long, event, auth...); got != "503 9" || len(long.Events()) != 0 {
		t.Errorf("down: %s", got)
	}

	long.SetDown(false)

	if got := post(t, long, event, auth...); got != "200 0" {
		t.Errorf("up again: %s", got)
	}
}

func TestHECRefusesOtherPathsAndMethods(t *testing.T) {
	h := collector(t, nil)
	for path, want := range map[string]int{"/services/collector/raw": 404, "/services/collector/event": 405} {
		a, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d%s", h.Port(), path))
		if err != nil {
			t.Fatal(err)
		}

		a.Body.Close()

		if a.StatusCode != want {
			t.Errorf("GET %s: %d", path, a.StatusCode)
		}
	}
}

func TestCertificateIsTrustedThroughItsFileAndNotWithout(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ca.pem")

	server, err := Certificate(file)
	if err != nil {
		t.Fatal(err)
	}

	h := collector(t, func(c *HECConfig) { c.TLS = server })

	pem, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}

	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)

	for name, roots := range map[string]*x509.CertPool{"trusted": pool, "not trusted": x509.NewCertPool()} {
		c, err := tls.Dial("tcp", fmt.Sprintf("localhost:%d", h.Port()), &tls.Config{RootCAs: roots})
		if (err == nil) != (name == "trusted") {
			t.Errorf("%s: %v", name, err)
		}

		if err == nil {
			c.Close()
		}
	}
}
