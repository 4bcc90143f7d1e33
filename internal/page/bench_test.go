package page

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

// BenchmarkReader finds the 10,000 rows of a page of 24 MB. Each read returns as much as
// a TLS record holds.
func BenchmarkReader(b *testing.B) {
	row := `{"@odata.type":"#microsoft.graph.security.alert","id":"da639057068110345678_1020304050","status":"new",` +
		`"severity":"low","assignedTo":null,"osBuild":22631,"filePath":"C:\\Windows\\SysWOW64","tags":["a","b"],` +
		`"description":"` + strings.Repeat("A hidden file has been launched. ", 3) + `",`
	row = row + strings.Repeat(
		`"firstActivityDateTime":"2026-02-03T09:10:50.116Z","classification":null,`+
			`"detail":{"sha1":"1111111111111111111111111111111111111111","fileSize":6136392},`,
		13,
	) + `"comments":[]}`
	doc := []byte(`{"value":[` + row + strings.Repeat(","+row, 9_999) + `]}`)
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()

	p := NewReader(nil, Options{})
	for b.Loop() {
		p.Reset(&records{bytes.NewReader(doc)})

		for {
			_, err := p.Next()
			if errors.Is(err, io.EOF) {
				break
			}

			if err != nil {
				b.Fatal(err)
			}
		}

		if p.Rows() != 10_000 {
			b.Fatal(p.Rows(), "rows")
		}
	}
}

// records reads at most 16 KB at a time (RFC 8446 §5.1).
type records struct{ r io.Reader }

func (r *records) Read(b []byte) (int, error) { return r.r.Read(b[:min(len(b), 16<<10)]) }
