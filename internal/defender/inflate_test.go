package defender

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/page"
)

// zipped compresses texts, each as a member of its own.
func zipped(t testing.TB, texts ...string) string {
	t.Helper()

	var b bytes.Buffer
	for _, text := range texts {
		w := gzip.NewWriter(&b)
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}

		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}

	return b.String()
}

// damaged changes one byte, counted from the end.
func damaged(text string, fromEnd int) string {
	b := []byte(text)
	b[len(b)-fromEnd] ^= 0x40

	return string(b)
}

func TestACompressedAnswerIsReadWholeOrRefused(t *testing.T) {
	one := row(alert.Graph, "a", start)
	list := `{"value":[` + one + `]}`

	whole := zipped(t, list)
	for _, test := range []struct {
		name   string
		coding []string
		body   string
		rows   int
		says   string // of the error; empty for none
	}{
		{"no coding", nil, list, 1, ""},
		{"identity", []string{"identity"}, list, 1, ""},
		{"gzip", []string{"gzip"}, whole, 1, ""},
		{"in other letters, with blanks", []string{" GZip "}, whole, 1, ""},
		{"by its old name", []string{"x-gzip"}, whole, 1, ""},
		{"several members", []string{"gzip"}, zipped(t, list[:7], "", list[7:9], list[9:]), 1, ""},
		{"nothing at all", []string{"gzip"}, "", 0, "sent an empty answer"},
		{"nothing, compressed", []string{"gzip"}, zipped(t, ""), 0, "sent an empty answer"},
		{"cut in the head", []string{"gzip"}, whole[:6], 0, "sent an empty answer"},
		{"cut in the data", []string{"gzip"}, whole[:len(whole)/2], 0, "is incomplete"},
		{"cut in the checksum", []string{"gzip"}, whole[:len(whole)-3], 1, "is incomplete"},
		{"a wrong checksum", []string{"gzip"}, damaged(whole, 8), 1, "is incomplete"},
		{"a wrong length", []string{"gzip"}, damaged(whole, 4), 1, "is incomplete"},
		{"damaged data", []string{"gzip"}, damaged(whole, len(whole)/2), -1, "answer"},
		{"not compressed", []string{"gzip"}, list, 0, "is incomplete"},
		{"text behind it", []string{"gzip"}, whole + "\r\n<html>", 1, "is incomplete"},
		{"zeros behind it", []string{"gzip"}, whole + strings.Repeat("\x00", 20), 1, "is incomplete"},
		{"compressed twice", []string{"gzip, gzip"}, zipped(t, whole), 0, "encoding that was not asked for"},
		{"compressed twice, two headers", []string{"gzip", "gzip"}, zipped(t, whole), 0,
			"encoding that was not asked for"},
		{"Brotli", []string{"br"}, "\x0b\x02\x80", 0, "encoding that was not asked for"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var asked string

			reader, _ := fake(t, alert.Graph, nil, func(s *Settings) {
				s.HTTP = &http.Client{Transport: answering(func(r *http.Request) (*http.Response, error) {
					asked = r.Header.Get("Accept-Encoding")

					return &http.Response{
						StatusCode: 200,
						Header:     http.Header{"Content-Encoding": test.coding},
						Body:       io.NopCloser(strings.NewReader(test.body)),
						Request:    r,
					}, nil
				})}
			})

			body, err := reader.(*odata).client.get(t.Context(), "http://x.example/", nil)
			if err != nil {
				t.Fatal(err)
			}
			defer body.Close()

			rows := 0
			err = eachRow(page.NewReader(nil, page.Options{}), body, odataList, "x.example", func([]byte) error {
				rows++
				return nil
			})

			var e *Error
			switch {
			case asked != "gzip":
				t.Errorf("asked for %q", asked)
			case test.says == "" && err != nil:
				t.Error(err)
			case test.says != "" && (!errors.As(err, &e) || !strings.Contains(e.Error(), test.says)):
				t.Errorf("error %v, want one that says %q", err, test.says)
			case rows != test.rows && test.rows >= 0:
				t.Errorf("%d rows, want %d", rows, test.rows)
			}
		})
	}
}

// TestACompressedRefusalIsExplained: its body has the code.
func TestACompressedRefusalIsExplained(t *testing.T) {
	reader, _ := fake(t, alert.Graph, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, zipped(t, `{"error":{"code":"UnlikelyCode","message":"m"}}`))
	})

	err := reader.Read(t.Context(), lastHour(), newBasket(t, alert.Graph))
	if err == nil || !strings.Contains(err.Error(), "UnlikelyCode") {
		t.Errorf("error %v", err)
	}
}

// TestACompressedAnswerWithoutContentIsGivenUp: members without content come for ever,
// which inflate to nothing.
func TestACompressedAnswerWithoutContentIsGivenUp(t *testing.T) {
	empty := zipped(t, "")
	client := &http.Client{Transport: answering(func(r *http.Request) (*http.Response, error) {
		body := endingWith{r.Context().Done(), &repeating{text: strings.Repeat(empty, 100)}}

		return &http.Response{
			StatusCode: 200,
			Header:     http.Header{"Content-Encoding": {"gzip"}},
			Body:       io.NopCloser(body),
			Request:    r,
		}, nil
	})}
	reader, _ := fake(t, alert.SIEM, nil, func(s *Settings) {
		s.HTTP, s.IdleTimeout = client, 100*time.Millisecond
	})

	var e *Error
	if err := reader.Read(t.Context(), lastHour(), discard{}); !errors.As(err, &e) || !e.Smaller {
		t.Errorf("error %v", err)
	}
}

// endingWith reads until the request is given up.
type endingWith struct {
	done <-chan struct{}
	io.Reader
}

func (e endingWith) Read(p []byte) (int, error) {
	select {
	case <-e.done:
		return 0, errors.New("given up")
	default:
		return e.Reader.Read(p)
	}
}

// TestWhatIsInflatedIsBounded: a bomb inflates to a thousand times its size.
func TestWhatIsInflatedIsBounded(t *testing.T) {
	bomb := zipped(t, "["+strings.Repeat(" ", 10<<20))
	res := &http.Response{
		Header: http.Header{"Content-Encoding": {"gzip"}},
		Body:   io.NopCloser(strings.NewReader(bomb)),
	}
	b := &body{
		c:     &client{},
		ctx:   t.Context(),
		left:  1 << 20,
		guard: newWatchdog(nil),
		from:  plain(res),
	}

	n, err := io.Copy(io.Discard, b)
	if n > 1<<20+64<<10 || err == nil || !strings.Contains(err.Error(), "endless answer") {
		t.Errorf("%d bytes, error %v", n, err)
	}
}

// TestAnInflaterIsUsedAgain: a quiet tenant's answer allocates next to nothing.
func TestAnInflaterIsUsedAgain(t *testing.T) {
	text := zipped(t, `{"value":[]}`)

	size := testing.AllocsPerRun(100, func() {
		b := plain(&http.Response{
			Header: http.Header{"Content-Encoding": {"gzip"}},
			Body:   io.NopCloser(strings.NewReader(text)),
		})
		if out, err := io.ReadAll(b); err != nil || len(out) != 12 {
			t.Fatalf("%q, %v", out, err)
		}

		if err := b.Close(); err != nil {
			t.Fatal(err)
		}

		if _, err := b.Read(make([]byte, 1)); err == nil {
			t.Fatal("a closed body can be read")
		}
	})
	if size > 12 {
		t.Errorf("%v allocations for an answer", size)
	}
}
