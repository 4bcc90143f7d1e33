package page

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
)

// readAll returns all rows, the link and the final error (nil for io.EOF). A row that is
// too large is returned as "TOO LARGE".
func readAll(t testing.TB, p *Reader) (rows []string, link string, err error) {
	t.Helper()

	for {
		row, err := p.Next()
		switch {
		case errors.Is(err, ErrRowTooLarge):
			rows = append(rows, "TOO LARGE")
		case err != nil:
			if _, again := p.Next(); !errors.Is(again, err) {
				t.Errorf("after %v comes %v", err, again)
			}

			if p.Rows() != len(rows) {
				t.Errorf("Rows is %d after %d rows", p.Rows(), len(rows))
			}

			if errors.Is(err, io.EOF) {
				err = nil
			}

			return rows, p.NextLink(), err
		default:
			rows = append(rows, string(row))
		}
	}
}

var readings = map[string]func(string) io.Reader{
	"at once":            func(s string) io.Reader { return strings.NewReader(s) },
	"byte by byte":       func(s string) io.Reader { return iotest.OneByteReader(strings.NewReader(s)) },
	"with the last data": func(s string) io.Reader { return iotest.DataErrReader(strings.NewReader(s)) },
	"in halves":          func(s string) io.Reader { return iotest.HalfReader(strings.NewReader(s)) },
	"at random":          func(s string) io.Reader { return &randomReader{s, rand.New(rand.NewPCG(3, 4))} },
}

// A randomReader breaks its text anywhere, and now and then reads nothing.
type randomReader struct {
	s string
	r *rand.Rand
}

func (r *randomReader) Read(b []byte) (int, error) {
	if r.s == "" {
		return 0, io.EOF
	}

	n := copy(b[:min(len(b), r.r.IntN(20))], r.s)
	r.s = r.s[n:]

	return n, nil
}

// pageCase is the body of an answer, and what the reader finds in it.
type pageCase struct {
	promise, doc string
	rows         []string
	link         string
	err          error
}

func pages() []pageCase {
	long := `{"x":"` + strings.Repeat(`a\"{`, 50) + `"}`

	return []pageCase{
		{"an OData page", `{"@odata.context":"c","value":[{"a":1},{"b":[2,{}]}],` +
			`"@odata.nextLink":"https://x/?$skip=1"}`,
			[]string{`{"a":1}`, `{"b":[2,{}]}`}, "https://x/?$skip=1", nil},
		{"the link first", `{"@odata.nextLink":"n","value":[{}]}`, []string{`{}`}, "n", nil},
		{"a link with escapes", `{"value":[],"\u0040odata.nextLink":"https:\/\/x\/?a=1\u0026b=2"}`, nil,
			"https://x/?a=1&b=2", nil},
		{"a link that is null", `{"value":[],"@odata.nextLink":null}`, nil, "", nil},
		{"an empty page", `{"value":[]}`, nil, "", nil},
		{"a bare array", `[{"a":1},{"b":2}]`, []string{`{"a":1}`, `{"b":2}`}, "", nil},
		{"an empty array", `[]`, nil, "", nil},
		{"white space anywhere", " \r\n\t{ \"value\" : [ { \"a\" : 1 } , 2\n] , \"x\" : { } } \n",
			[]string{`{ "a" : 1 }`, `2`}, "", nil},
		{"a byte order mark", "\ufeff[1]", []string{`1`}, "", nil},
		{"brackets and quotes in strings", `[{"a":"]}\"\\"},{"b":"{[\\\\\""}]`,
			[]string{`{"a":"]}\"\\"}`, `{"b":"{[\\\\\""}`}, "", nil},
		{"rows that are no objects", `[1,-2.5e3,"x,]\"",null,true,[[],[1]],{}]`,
			[]string{`1`, `-2.5e3`, `"x,]\""`, `null`, `true`, `[[],[1]]`, `{}`}, "", nil},
		{"a value within a value", `{"x":{"value":[1]},"value":[{"value":[2]}],"y":[{"value":[3]}]}`,
			[]string{`{"value":[2]}`}, "", nil},
		{"other keys of any kind", `{"a":1,"b":"value","c":null,"d":[1,"]"],"value":[7],"e":true,"@odata.count":2}`,
			[]string{`7`}, "", nil},
		{"value twice", `{"value":[1],"value":[2]}`, []string{`1`, `2`}, "", nil},
		{"a long row", `[` + long + `,` + long + `]`, []string{long, long}, "", nil},
		{"an error that is null", `{"error":null,"value":[1]}`, []string{`1`}, "", nil},

		{"nothing", ``, nil, "", io.ErrUnexpectedEOF},
		{"half a byte order mark", "\xef\xbb", nil, "", io.ErrUnexpectedEOF},
		{"an array that does not end", `[{"a":1},`, []string{`{"a":1}`}, "", io.ErrUnexpectedEOF},
		{"a row that does not end", `[{"a":1},{"b":"`, []string{`{"a":1}`}, "", io.ErrUnexpectedEOF},
		{"a number at the end of the body", `[1,2`, []string{`1`}, "", io.ErrUnexpectedEOF},
		{"an object that does not end", `{"value":[1]`, []string{`1`}, "", io.ErrUnexpectedEOF},
		{"a link that does not end", `{"value":[1],"@odata.nextLink":"htt`, []string{`1`}, "", io.ErrUnexpectedEOF},
		{"a backslash at the end", `["\`, nil, "", io.ErrUnexpectedEOF},

		{"HTML", `<html><body>Bad gateway</body></html>`, nil, "", ErrNotPage},
		{"a text", `"value"`, nil, "", ErrNotPage},
		{"an OData error", `{"error":{"code":"x","message":"y"}}`, nil, "", ErrNotPage},
		{"an error behind the rows", `{"value":[1],"error":{"code":"x"}}`, []string{`1`}, "", ErrNotPage},
		{"an object without value", `{"a":[1]}`, nil, "", ErrNotPage},
		{"an empty object", `{}`, nil, "", ErrNotPage},
		{"a value that is no array", `{"value":{"a":1}}`, nil, "", ErrNotPage},
		{"a value that is null", `{"value":null}`, nil, "", ErrNotPage},
		{"a link that is no text", `{"value":[1],"@odata.nextLink":{}}`, []string{`1`}, "", ErrNotPage},
		{"two byte order marks", "\ufeff\ufeff[]", nil, "", ErrNotPage},

		{"a comma too many", `[1,]`, []string{`1`}, "", ErrSyntax},
		{"a leading comma", `[,1]`, nil, "", ErrSyntax},
		{"a missing comma", `[{}{}]`, []string{`{}`}, "", ErrSyntax},
		{"a missing colon", `{"value" [1]}`, nil, "", ErrSyntax},
		{"a key that is no text", `{1:2,"value":[]}`, nil, "", ErrSyntax},
		{"a comma too many in the object", `{"value":[1],}`, []string{`1`}, "", ErrSyntax},
		{"a missing comma in the object", `{"value":[1]"x":2}`, []string{`1`}, "", ErrSyntax},
		{"a wrong escape in a key", `{"\x":1,"value":[]}`, nil, "", ErrSyntax},
		{"no value", `{"a":,"value":[]}`, nil, "", ErrSyntax},
		{"something behind the array", `[1] x`, []string{`1`}, "", ErrSyntax},
		{"something behind the object", `{"value":[1]}{}`, []string{`1`}, "", ErrSyntax},
		{"what is no JSON for a row", `[abc]`, nil, "", ErrSyntax},
	}
}

func TestPages(t *testing.T) {
	for _, c := range pages() {
		for how, read := range readings {
			for _, size := range []int{1, 16, 1 << 16} {
				rows, link, err := readAll(t, NewReader(read(c.doc), Options{Buffer: size}))
				if fmt.Sprint(rows) != fmt.Sprint(c.rows) || link != c.link || !errors.Is(err, c.err) {
					t.Errorf("%s, read %s, buffer %d: %q, link %q, %v; want %q, %q, %v",
						c.promise, how, size, rows, link, err, c.rows, c.link, c.err)
				}
			}
		}
	}
}

func TestRowsBeforeACutAreWhole(t *testing.T) {
	doc := `{"@odata.context":"c","value":[{"a":"x\\\"]"},{"b":[{}]},{"c":"é"}],"@odata.nextLink":"n"}`
	all := []string{`{"a":"x\\\"]"}`, `{"b":[{}]}`, `{"c":"é"}`}

	p := NewReader(nil, Options{Buffer: 8})
	for cut := range len(doc) {
		p.Reset(strings.NewReader(doc[:cut]))

		rows, _, err := readAll(t, p)
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut at %d: %v", cut, err)
		}

		for i, row := range rows {
			if row != all[i] {
				t.Errorf("cut at %d: row %d is %q", cut, i, row)
			}
		}

		if whole := strings.Count(doc[:cut], `},{`); len(rows) < whole {
			t.Errorf("cut at %d: %d rows of %d", cut, len(rows), whole)
		}
	}
}

func TestErrorsOfTheTransportComeThrough(t *testing.T) {
	gone := errors.New("connection reset")
	for _, doc := range []string{``, `[1,2`, `{"value":[1],"x`, `[1]`} {
		_, _, err := readAll(t, NewReader(io.MultiReader(strings.NewReader(doc), iotest.ErrReader(gone)), Options{}))
		if !errors.Is(err, gone) || errors.Is(err, io.EOF) {
			t.Errorf("%q: %v", doc, err)
		}
	}

	if _, _, err := readAll(t, NewReader(stuck{}, Options{})); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("a reader that never returns anything: %v", err)
	}
}

type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

func TestErrorsDoNotQuoteThePage(t *testing.T) {
	for _, doc := range []string{`<secret>`, `["secret`, `{"secret":1}`, `{"error":"secret"}`, `["secret" "secret"]`,
		`{"value":"secret"}`, `{"value":[],"@odata.nextLink":["secret"]}`} {
		_, _, err := readAll(t, NewReader(strings.NewReader(doc), Options{}))
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", doc, err)
		}
	}
}

func TestRowsTooLargeArePassedOver(t *testing.T) {
	big := `{"a":"` + strings.Repeat("x", 200) + `"}`
	fits, over := `"`+strings.Repeat("y", 98)+`"`, `"`+strings.Repeat("y", 99)+`"`
	rows := []string{`1`, big, `{"b":2}`, big, fits, over}
	doc := `{"z":` + big + `,"value":[` + strings.Join(rows, ",") + `],"@odata.nextLink":"n"}`
	want := []string{`1`, "TOO LARGE", `{"b":2}`, "TOO LARGE", fits, "TOO LARGE"}

	for how, read := range readings {
		rows, link, err := readAll(t, NewReader(read(doc), Options{MaxRow: 100, Buffer: 16}))
		if fmt.Sprint(rows) != fmt.Sprint(want) || link != "n" || err != nil {
			t.Errorf("read %s: %q, %q, %v", how, rows, link, err)
		}
	}

	p := NewReader(
		strings.NewReader(`{"value":[],"@odata.nextLink":"`+strings.Repeat("x", 2*maxText)+`"}`),
		Options{},
	)
	if _, _, err := readAll(t, p); !errors.Is(err, ErrNotPage) {
		t.Errorf("a link of 2 MB: %v", err)
	}

	p = NewReader(strings.NewReader(`{"`+strings.Repeat("k", 2*maxText)+`":1,"value":[5]}`), Options{})
	if rows, _, err := readAll(t, p); err != nil || len(rows) != 1 {
		t.Errorf("a key of 2 MB: %q, %v", rows, err)
	}
}

// generated is a page of n equal rows that is made while it is read.
type generated struct {
	row  string
	rest string // the row behind a comma
	n    int
	part string
	next int
}

func (g *generated) Read(b []byte) (n int, err error) {
	for ; n < len(b); n += g.some(b[n:]) {
		if g.part != "" {
			continue
		}

		switch {
		case g.next == 0:
			g.part = `{"skipped":"` + strings.Repeat("s", 1<<20) + `","value":[` + g.row
		case g.next < g.n:
			g.part = g.rest
		case g.next == g.n:
			g.part = `],"@odata.nextLink":"n"}`
		default:
			return n, io.EOF
		}

		g.next++
	}

	return n, nil
}

func (g *generated) some(b []byte) int {
	n := copy(b, g.part)
	g.part = g.part[n:]

	return n
}

func TestMemoryIsBounded(t *testing.T) {
	for _, c := range []struct {
		promise    string
		row, n     int
		mostMemory uint64 // MB allocated in all
	}{
		{"a page of 200 MB", 2400, 83_000, 4},
		// the buffer doubles: 1/4 + 1/2 + … + 32 MB, and the row itself as a text
		{"an alert of 20 MB", 20 << 20, 1, 110},
	} {
		row := `{"a":"` + strings.Repeat("x", c.row) + `"}`
		page := &generated{row: row, rest: "," + row, n: c.n}

		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)

		p := NewReader(page, Options{})
		rows := 0

		for {
			row, err := p.Next()
			if errors.Is(err, io.EOF) {
				break
			}

			if err != nil || string(row) != page.row {
				t.Fatalf("%s: row %d: %d bytes, %v", c.promise, rows, len(row), err)
			}

			rows++
		}

		runtime.ReadMemStats(&after)

		if rows != c.n || p.NextLink() != "n" {
			t.Errorf("%s: %d rows, link %q", c.promise, rows, p.NextLink())
		}

		if used := (after.TotalAlloc - before.TotalAlloc) >> 20; used > c.mostMemory {
			t.Errorf("%s: %d MB allocated", c.promise, used)
		}

		p.Reset(strings.NewReader(`[]`))

		if len(p.buf) != DefaultBuffer {
			t.Errorf("%s: a buffer of %d bytes is kept", c.promise, len(p.buf))
		}
	}
}

func TestPublishedSamples(t *testing.T) {
	names, err := filepath.Glob("../../../shared/samples/*/*.json")
	if err != nil {
		t.Fatal(err)
	}

	own, err := filepath.Glob("../../testdata/page/*.json")
	if err != nil || len(own) == 0 {
		t.Fatalf("no pages of our own: %v", err)
	}

	for _, name := range append(names, own...) {
		doc, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}

		want, isPage := reference(doc)
		for how, read := range readings {
			rows, _, err := readAll(t, NewReader(read(string(doc)), Options{Buffer: 64}))
			if isPage != (err == nil) || isPage && fmt.Sprint(rows) != fmt.Sprint(want) {
				t.Errorf("%s, read %s: %d rows of %d, %v", name, how, len(rows), len(want), err)
			}
		}
	}
}

// reference reads a whole document with encoding/json. ok is false if the document is not
// a page.
func reference(doc []byte) (rows []string, ok bool) {
	d := json.NewDecoder(bytes.NewReader(doc))

	open, err := d.Token()
	if err != nil || !json.Valid(doc) {
		return nil, false
	}

	elements := func() {
		for d.More() {
			var raw json.RawMessage
			if d.Decode(&raw) == nil {
				rows = append(rows, string(raw))
			}
		}

		_, _ = d.Token()
	}
	if open == json.Delim('[') {
		elements()
		return rows, true
	}

	if open != json.Delim('{') {
		return nil, false
	}

	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, false
		}

		if key == "value" {
			if t, err := d.Token(); err != nil || t != json.Delim('[') {
				return nil, false
			}

			elements()

			ok = true

			continue
		}

		var raw json.RawMessage
		if d.Decode(&raw) != nil {
			return nil, false
		}

		if key == "error" && string(raw) != "null" || key == "@odata.nextLink" && raw[0] != '"' && raw[0] != 'n' {
			return nil, false
		}
	}

	return rows, ok
}

// FuzzReader checks that the result does not depend on how the reads split the document,
// and that for a valid document it is the same as that of encoding/json.
func FuzzReader(f *testing.F) {
	for _, s := range []string{`{"value":[{"a":"\\\""},1],"@odata.nextLink":"n"}`, `[{"a":[{}]},"x"]`, `{"error":{}}`,
		"\ufeff[]", `{"a":1,"value":[1`} {
		f.Add([]byte(s), uint16(1), uint64(1))
	}

	f.Fuzz(func(t *testing.T, doc []byte, size uint16, seed uint64) {
		o := Options{Buffer: int(size%512) + 1}
		rows, link, err := readAll(t, NewReader(bytes.NewReader(doc), Options{}))
		r := &randomReader{string(doc), rand.New(rand.NewPCG(seed, 1))}

		rows2, link2, err2 := readAll(t, NewReader(r, o))
		if fmt.Sprint(rows, link, err) != fmt.Sprint(rows2, link2, err2) {
			t.Fatalf("%q read at once: %q, %q, %v; at random: %q, %q, %v", doc, rows, link, err, rows2, link2, err2)
		}

		want, isPage := reference(doc)
		if isPage != (err == nil) && json.Valid(doc) || isPage && fmt.Sprint(rows) != fmt.Sprint(want) {
			t.Fatalf("%q: %q, %v; want %q, %v", doc, rows, err, want, isPage)
		}
	})
}
