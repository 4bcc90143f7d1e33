package metrics

import (
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"fluent-bit-defender/internal/cloud"
	"fluent-bit-defender/internal/measure"
)

// exposition writes metrics in Prometheus' text format, version 0.0.4. It is written by
// hand because ten thousand tenants are a quarter of a million series: client_golang
// needs a tree of objects for each of them first.
type exposition struct {
	to     io.Writer
	labels []string           // of each unit, without braces
	line   []byte             // the buffer of the line that is being written
	bounds map[float64]string // the labels of buckets that are made already
	err    error              // the first one
}

// textFormat is the type of such a body.
const textFormat = "text/plain; version=0.0.4; charset=utf-8"

// family begins a family of metrics.
func (e *exposition) family(f family) {
	e.line = append(e.line[:0], "# HELP defender_"...)
	e.line = append(e.line, f.name...)
	e.line = append(e.line, ' ')
	e.line = append(e.line, f.help...)
	e.line = append(e.line, "\n# TYPE defender_"...)
	e.line = append(e.line, f.name...)
	e.line = append(e.line, ' ')
	e.line = append(e.line, f.kind...)
	e.end()
}

// end ends the line and writes it.
func (e *exposition) end() {
	e.line = append(e.line, '\n')

	if e.err == nil {
		_, e.err = e.to.Write(e.line)
	}
}

// sample writes one sample. labels and more are its labels in two parts, such as
// a="b",c="d"; each may be empty.
func (e *exposition) sample(name, suffix, labels, more string, value float64) {
	e.line = append(e.line[:0], "defender_"...)
	e.line = append(e.line, name...)
	e.line = append(e.line, suffix...)

	if labels != "" || more != "" {
		e.line = append(e.line, '{')
		e.line = append(e.line, labels...)

		if labels != "" && more != "" {
			e.line = append(e.line, ',')
		}

		e.line = append(e.line, more...)
		e.line = append(e.line, '}')
	}

	e.line = append(e.line, ' ')
	e.line = appendValue(e.line, value)
	e.end()
}

// appendValue appends a number; whole ones without an exponent.
func appendValue(to []byte, v float64) []byte {
	if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
		return strconv.AppendInt(to, int64(v), 10)
	}

	return strconv.AppendFloat(to, v, 'g', -1, 64)
}

// histogram writes the samples of a histogram.
func (e *exposition) histogram(name, labels string, h *measure.Histogram) {
	if h.Bounds == nil {
		return
	}

	total := uint64(0)

	for i, n := range h.Counts {
		total += n

		bound := math.Inf(1)
		if i < len(h.Bounds) {
			bound = h.Bounds[i]
		}

		e.sample(name, "_bucket", labels, e.boundLabel(bound), float64(total))
	}

	e.sample(name, "_sum", labels, "", h.Sum)
	e.sample(name, "_count", labels, "", float64(total))
}

// boundLabel returns the label of a bucket.
func (e *exposition) boundLabel(bound float64) string {
	text, ok := e.bounds[bound]
	if !ok {
		text = `le="` + strconv.FormatFloat(bound, 'g', -1, 64) + `"`
		e.bounds[bound] = text
	}

	return text
}

// label returns a label, with its value escaped. Bytes that are not UTF-8 are replaced:
// a classic configuration may be in any encoding.
func label(name, value string) string {
	return name + `="` + labelEscapes.Replace(strings.ToValidUTF8(value, "\uFFFD")) + `"`
}

var labelEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// usualLogin is the sign-in service of the commercial cloud, which is not in the
// labels.
var usualLogin = func() string {
	target, err := cloud.Lookup(cloud.Commercial, "graph", "")
	if err != nil {
		return ""
	}

	return strings.TrimPrefix(target.LoginURL, "https://")
}()

// unitLabels returns the labels that tell a unit from all others.
func unitLabels(u *measure.Unit) string {
	labels := label("tenant_id", string(u.Key.TenantID)) + "," + label("api", string(u.Key.API))

	if u.Key.StateID != "" {
		labels += "," + label("state_id", u.Key.StateID)
	}

	if u.Key.LoginHost != usualLogin {
		labels += "," + label("login_host", u.Key.LoginHost)
	}

	return labels
}

// unix returns a time in seconds since 1970, 0 for the zero time.
func unix(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}

	return float64(t.UnixMilli()) / 1e3
}

// number returns 1 for true and 0 for false.
func number(b bool) float64 {
	if b {
		return 1
	}

	return 0
}

// writeMetrics writes all families of a snapshot.
func (s *snapshot) writeMetrics(to io.Writer) error {
	e := &exposition{
		to:     to,
		labels: make([]string, len(s.units)),
		bounds: make(map[float64]string),
	}
	for i := range s.units {
		e.labels[i] = unitLabels(&s.units[i])
	}

	for _, f := range families {
		e.family(f)

		if f.whole != nil {
			f.whole(e, s)
			continue
		}

		for i := range s.units {
			f.unit(e, &s.units[i], e.labels[i])
		}
	}

	return e.err
}
