package page

import (
	"errors"
	"io"
	"strings"
	"testing"
)

// The permit is asked for once, before the buffer grows that far. It is released together
// with the buffer when the next row is read.
func TestALargeRowNeedsAPermit(t *testing.T) {
	large := `{"a":"` + strings.Repeat("x", 3*LargeRow) + `"}`
	asked, held := 0, 0

	p := NewReader(nil, Options{})
	for _, end := range []string{`]`, ``} {
		p.Reset(strings.NewReader(`[1,` + large + `,2,` + large + end))
		p.Ask(func() (func(), error) {
			asked, held = asked+1, held+1
			return func() { held-- }, nil
		})

		var lengths []int

		for {
			row, err := p.Next()
			if err != nil {
				if errors.Is(err, io.EOF) != (end == "]") {
					t.Error(err)
				}

				break
			}

			lengths = append(lengths, len(row))
			if want := len(row) / LargeRow / 3; held != want {
				t.Errorf("%d permits at a row of %d bytes", held, len(row))
			}
		}

		if len(lengths) != 4 || lengths[1] != len(large) || lengths[3] != len(large) {
			t.Errorf("rows of %v bytes", lengths)
		}
	}

	p.Reset(nil)

	if asked != 4 || held != 0 || len(p.buf) != DefaultBuffer {
		t.Errorf("asked %d times, %d permits are held; the buffer has %d bytes", asked, held, len(p.buf))
	}
}

// The rows before the large one are returned first, then the error of the permit.
func TestWithoutAPermitTheLargeRowEndsThePage(t *testing.T) {
	refusal := errors.New("no")
	p := NewReader(strings.NewReader(`[1,"`+strings.Repeat("x", 3*LargeRow)+`"]`), Options{})
	p.Ask(func() (func(), error) { return nil, refusal })

	if row, err := p.Next(); string(row) != "1" || err != nil {
		t.Errorf("%q, %v", row, err)
	}

	if _, err := p.Next(); !errors.Is(err, refusal) {
		t.Error(err)
	}
}
