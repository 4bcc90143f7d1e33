package simulator

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// replaceAnswer answers with a fault and ignores the request.
func (s *Simulator) replaceAnswer(x *exchange, f *fault) {
	s.stats.count(func(c *Stats) { c.Faults[f.Name]++ })

	switch f.Name {
	case "refuse":
		x.status = 0
		hangUp(x.w, false)
	case "redirect":
		x.header.Set("Location", "http://login.attacker.example"+x.r.URL.RequestURI())

		code, _ := strconv.Atoi(f.Kind)
		x.html(code, "<html><body>Object moved</body></html>")
	default:
		x.retryAfter(f.After, f.Wait)

		if f.Code >= 500 {
			x.html(f.Code, fmt.Sprintf("<!DOCTYPE html>\r\n<html><head><title>%d %s</title></head>\r\n"+
				"<body><h1>Our services aren't available right now</h1></body></html>\r\n",
				f.Code, http.StatusText(f.Code)))

			return
		}

		if x.api == Login && f.Code == http.StatusTooManyRequests {
			x.refuseSignIn(refused(90055))
			return
		}

		x.refuse(f.Code, "", "")
	}
}

// retryAfter sets the header of RFC 9110 section 10.2.3 in one of its forms. It
// remembers the time, to check whether the client waits.
func (x *exchange) retryAfter(form string, wait time.Duration) {
	if form == "none" || form == "" {
		return
	}

	seconds := int64((wait + time.Second - 1) / time.Second)

	until := x.sim.cfg.Clock().Add(time.Duration(seconds) * time.Second)
	if form == "date" {
		at := x.now.Add(wait + time.Second - 1).Truncate(time.Second)
		x.header.Set("Retry-After", at.UTC().Format(http.TimeFormat))
		until = x.sim.cfg.Clock().Add(at.Sub(x.now))
	} else {
		x.header.Set("Retry-After", strconv.FormatInt(seconds, 10))
	}

	x.sim.mu.Lock()
	x.sim.waits[x.waitKey()] = until
	x.sim.mu.Unlock()
}

// forgetWait takes back a Retry-After: what replaces a refusal asks nobody to wait.
func (x *exchange) forgetWait() {
	if x.header.Get("Retry-After") == "" {
		return
	}

	x.header.Del("Retry-After")

	x.sim.mu.Lock()
	delete(x.sim.waits, x.waitKey())
	x.sim.mu.Unlock()
}

// waitKey names the client, tenant and API that have to wait together.
func (x *exchange) waitKey() string {
	id := ""
	if x.tenant != nil {
		id = x.tenant.ID
	}

	return x.api + " " + id + " " + x.client
}

// early counts a request that did not wait as long as it was told to.
func (x *exchange) early() {
	x.sim.mu.Lock()
	until := x.sim.waits[x.waitKey()]
	x.sim.mu.Unlock()

	if x.sim.cfg.Clock().Before(until) {
		x.sim.stats.count(func(c *Stats) { c.Early[x.kind]++ })
	}
}

// hangUp closes the connection, with a reset if asked for.
func hangUp(w http.ResponseWriter, reset bool) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil { // HTTP/2 does not hand out its connection
		panic(http.ErrAbortHandler)
	}

	if tcp, ok := c.(*net.TCPConn); ok && reset {
		_ = tcp.SetLinger(0)
	}

	_ = c.Close()
}

// write sends the answer with the faults that alter it.
func (s *Simulator) write(x *exchange) {
	if x.status == 0 {
		return
	}

	out := output{x: x, stop: -1}
	for _, f := range x.faults {
		s.stats.count(func(c *Stats) { c.Faults[f.Name]++ })
		out.alter(f)
	}

	header := x.w.Header()
	for k, v := range x.header {
		header[k] = v
	}

	header.Set("Date", x.now.UTC().Format(http.TimeFormat))
	header.Set("X-Content-Type-Options", "nosniff")

	total := x.length()
	if out.fraction >= 0 && out.stopName != "" {
		out.stop = int64(float64(total) * out.fraction)
		if out.stop == total && total > 0 {
			out.stop--
		}
	}

	if out.send(total) {
		s.stats.count(func(c *Stats) {
			if x.api != Login {
				c.Rows[x.api] += int64(len(x.rows))
				c.Bytes[x.api] += total
			}
		})
	}
}

// output says how the body is written.
type output struct {
	x        *exchange
	stopName string // cut, reset or stall
	stopKind string
	fraction float64
	stop     int64 // byte at which it stops; -1 for never
	rate     int64
	paced    int // bytes of the present tenth of a second
	gzip     bool
}

// alter applies a fault to the answer.
func (o *output) alter(f *fault) {
	x := o.x

	switch f.Name {
	case "cut", "reset", "stall":
		if o.stopName == "" {
			o.stopName = f.Name
			o.stopKind = f.Kind
			o.fraction = f.At
		}
	case "drip":
		o.rate = f.Rate
	case "latency":
		x.sim.cfg.Sleep(x.r.Context(), f.By)
	case "gzip":
		o.gzip = strings.Contains(x.r.Header.Get("Accept-Encoding"), "gzip")
	case "junk":
		x.junk(f.Kind)
	case "huge":
		x.inflate(f.Size)
	}
}

// junk replaces the answer with something that is not a list of alerts.
func (x *exchange) junk(kind string) {
	x.forgetWait()

	switch kind {
	case "html":
		x.html(http.StatusOK, "<!DOCTYPE html><html><body>"+
			"<form action=\"/captive\">Welcome to the guest network</form></body></html>")
	case "json":
		x.json(http.StatusOK, []byte(`{"status":"ok","maintenance":true}`))
	case "text":
		x.json(http.StatusOK, []byte("upstream request timeout"))
	case "list":
		list := `[]`
		if x.api == SIEM {
			list = `{"value":[]}`
		}

		x.json(http.StatusOK, []byte(list))
	default:
		x.json(http.StatusOK, nil)
	}
}

// inflate adds size bytes of white space behind the first bracket of a successful
// answer.
func (x *exchange) inflate(size int64) {
	if len(x.body) == 0 || len(x.body[0]) == 0 || x.status != http.StatusOK {
		return
	}

	pad := []byte(strings.Repeat(" ", 1<<16))
	first := x.body[0]

	list := [][]byte{first[:1]}
	for n := size; n > 0; n -= int64(len(pad)) {
		list = append(list, pad[:min(n, int64(len(pad)))])
	}

	x.body = append(append(list, first[1:]), x.body[1:]...)
	for i := range x.ends {
		x.ends[i] += size
	}
}

// send writes head and body. It reports whether all of it was sent.
func (o *output) send(total int64) bool {
	x := o.x

	if o.stopName == "reset" || o.stopName == "cut" && o.stopKind == "clean" {
		return o.sendRaw(total)
	}

	o.setLength(total)

	if o.stopName == "stall" && o.stopKind == "head" {
		<-x.r.Context().Done()
		panic(http.ErrAbortHandler)
	}

	x.w.WriteHeader(x.status)

	err := o.sendBody()
	if errors.Is(err, errAborted) {
		_ = http.NewResponseController(x.w).Flush()
		if o.stopName == "stall" {
			<-x.r.Context().Done()
		}

		panic(http.ErrAbortHandler)
	}

	return err == nil
}

// setLength sets the headers that say how long the body is, and how it is encoded.
func (o *output) setLength(total int64) {
	header := o.x.w.Header()
	if o.gzip {
		header.Set("Content-Encoding", "gzip")
		return
	}

	if o.stopName != "cut" || o.stopKind != "chunked" {
		header.Set("Content-Length", strconv.FormatInt(total, 10))
	}
}

// sendBody writes the body, compressed if a fault says so, and records how much of it
// was written.
func (o *output) sendBody() error {
	if !o.gzip {
		written, err := o.copy(o.x.w)
		o.x.record(written, err == nil)

		return err
	}

	zip, _ := gzip.NewWriterLevel(o.x.w, gzip.BestSpeed)

	written, err := o.copy(zip)
	if err == nil {
		err = zip.Close()
	}

	o.x.record(written, err == nil)

	if errors.Is(err, errAborted) {
		_ = zip.Flush()
	}

	return err
}

// sendRaw writes the answer without net/http, which cannot leave out the length or reset
// the connection. It reports whether all of it was sent.
func (o *output) sendRaw(total int64) bool {
	x := o.x

	c, _, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer c.Close()

	b := bufio.NewWriter(c)
	fmt.Fprintf(b, "HTTP/1.1 %d %s\r\n", x.status, http.StatusText(x.status))
	header := x.w.Header().Clone()
	header.Set("Connection", "close")

	if o.stopName == "reset" {
		header.Set("Content-Length", strconv.FormatInt(total, 10))
	}

	_ = header.Write(b)
	_, _ = b.WriteString("\r\n")
	written, err := o.copy(b)
	x.record(written, err == nil) // before the client can have seen the end

	_ = b.Flush()

	if tcp, ok := c.(*net.TCPConn); ok && o.stopName == "reset" {
		_ = tcp.SetLinger(0)
	}

	return err == nil
}

// copy writes the body up to where it stops, slowly if a fault says so.
func (o *output) copy(w io.Writer) (written int64, err error) {
	for _, b := range o.x.body {
		aborted := false
		if o.stop >= 0 && written+int64(len(b)) > o.stop {
			b, aborted = b[:o.stop-written], true
		}

		n, err := o.pace(w, b)

		written += int64(n)
		if err != nil {
			return written, fmt.Errorf("writing the answer: %w", err)
		}

		if aborted {
			return written, errAborted
		}
	}

	if o.stop >= 0 { // an empty body stops too
		return written, errAborted
	}

	return written, nil
}

// pace writes b at the rate of a fault.
func (o *output) pace(w io.Writer, b []byte) (int, error) {
	if o.rate == 0 {
		return w.Write(b)
	}

	ctx, piece, done := o.x.r.Context(), int(max(o.rate/10, 1)), 0
	for len(b) > 0 {
		n, err := w.Write(b[:min(piece-o.paced, len(b))])

		done += n
		if err != nil {
			return done, err
		}

		b = b[n:]

		o.paced += n
		if o.paced < piece { // rows are many small writes, and the rate is for all of them
			continue
		}

		o.paced = 0
		_ = http.NewResponseController(o.x.w).Flush()
		o.x.sim.cfg.Sleep(ctx, 100*time.Millisecond)

		if ctx.Err() != nil {
			return done, context.Cause(ctx)
		}
	}

	return done, nil
}
