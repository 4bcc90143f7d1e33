package metrics

import (
	"bytes"
	"cmp"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// mostPicture bounds a picture of the documentation, in bytes.
const mostPicture = 150_000

// Pictures are neither compared nor golden files: fonts differ between machines, and the
// browser draws the edges of letters in two ways on one.
func TestPicturesOfThePageAreDrawn(t *testing.T) {
	if os.Getenv("PICTURES") == "" {
		t.Skip("`make pictures` draws them")
	}

	var servers Servers

	src := &fixed{units: crowd(1000, noon)}

	leave, err := servers.Serve(anyPort, src)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(leave)

	servers.open[anyPort.Address].now = func() time.Time { return noon }

	for _, c := range []struct {
		file          string
		width, height int64
		scheme        string
	}{
		{"status-light.png", 1280, 800, "light"},
		{"status-dark.png", 1280, 800, "dark"},
		{"status-phone-light.png", 400, 800, "light"},
		{"status-phone-dark.png", 400, 800, "dark"},
	} {
		b := open(t, "http://"+servers.where(anyPort)+"/", c.width, c.height, c.scheme)
		b.until("all rows", "document.querySelectorAll('#tenants tbody tr').length === 1000")

		picture := small(t, b)
		if len(picture) > mostPicture {
			t.Errorf("%s has %d bytes, at most %d", c.file, len(picture), mostPicture)
		}

		if err := os.WriteFile("../../docs/images/"+c.file, picture, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// small takes a screenshot with 128 colors: those of the page, without most shades
// between letters and their ground.
func small(t *testing.T, b *tab) []byte {
	t.Helper()

	shot, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		t.Fatal(err)
	}

	full, err := png.Decode(bytes.NewReader(shot))
	if err != nil {
		t.Fatal(err)
	}

	count := make(map[color.Color]int)

	for y := range full.Bounds().Dy() {
		for x := range full.Bounds().Dx() {
			count[full.At(x, y)]++
		}
	}

	colors := slices.SortedFunc(maps.Keys(count), func(a, b color.Color) int {
		x, y := color.RGBAModel.Convert(a).(color.RGBA), color.RGBAModel.Convert(b).(color.RGBA)
		return cmp.Or(count[b]-count[a], slices.Compare([]uint8{x.R, x.G, x.B}, []uint8{y.R, y.G, y.B}))
	})

	few := image.NewPaletted(full.Bounds(), colors[:min(len(colors), 128)])
	draw.Draw(few, few.Bounds(), full, image.Point{}, draw.Src)

	var out bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, few); err != nil {
		t.Fatal(err)
	}

	return out.Bytes()
}
