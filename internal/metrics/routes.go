package metrics

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/prometheus/common/expfmt"
)

// routes returns the handler of all requests. It decides first whether a request is
// allowed.
func (v *server) routes() http.Handler {
	open := http.NewServeMux()
	open.HandleFunc("GET /healthz", v.serveHealth)
	open.HandleFunc("GET /readyz", v.serveReady)

	shown := http.NewServeMux()
	shown.HandleFunc("GET /metrics", v.serveMetrics)
	shown.HandleFunc("GET /api/status", v.serveStatus)
	shown.HandleFunc("GET /{$}", v.servePage)

	all := http.NewServeMux()
	all.Handle("/", v.authorised(shown))
	all.Handle("/healthz", v.named(open))
	all.Handle("/readyz", v.named(open))

	return hardened(all)
}

// hardened sets the headers that make a browser keep an answer to itself.
func hardened(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Cache-Control", "no-store")
		header.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("X-Content-Type-Options", "nosniff")

		next.ServeHTTP(w, r)
	})
}

// serveHealth answers always: an answer shows that the process works.
func (v *server) serveHealth(w http.ResponseWriter, _ *http.Request) { sayOK(w) }

// sayOK answers a probe.
func sayOK(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "ok\n")
}

// serveReady answers whether every input works: its store answers, and it has polled a
// tenant or has none.
func (v *server) serveReady(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyWait)
	defer cancel()

	var missing []string // each thing once, even if several inputs lack it

	for _, src := range v.sourcesNow() {
		if err := src.Ready(ctx); err != nil && !slices.Contains(missing, err.Error()) {
			missing = append(missing, err.Error())
		}
	}

	if len(missing) > 0 {
		http.Error(w, "not ready: "+strings.Join(missing, "\n"), http.StatusServiceUnavailable)
		return
	}

	sayOK(w)
}

// serveMetrics answers a scrape.
func (v *server) serveMetrics(w http.ResponseWriter, r *http.Request) {
	v.serve(w, r, textFormat, func(to io.Writer, s *snapshot) error {
		if err := s.writeMetrics(to); err != nil {
			return err
		}

		families, err := v.runtime.Gather()
		if err != nil {
			return err
		}

		for _, f := range families {
			if _, err := expfmt.MetricFamilyToText(to, f); err != nil {
				return err
			}
		}

		return nil
	})
}

// serve answers a request with what write writes about the present state. It makes one
// answer at a time, and completes it before it sends the first byte: no client has to
// wait for another one that reads slowly.
func (v *server) serve(
	w http.ResponseWriter, r *http.Request, contentType string, write func(io.Writer, *snapshot) error,
) {
	ctx, cancel := context.WithTimeout(r.Context(), turnWait)
	defer cancel()

	select {
	case v.turn <- struct{}{}:
	case <-ctx.Done():
		http.Error(w, "answers to others take too long; try again later", http.StatusServiceUnavailable)
		return
	}

	b, err := v.answer(contentType, write)
	if err != nil {
		v.log.Error("metrics_listen: " + r.URL.Path + " cannot be answered: " + err.Error())
		http.Error(w, "this cannot be answered; the log of Fluent Bit says why", http.StatusInternalServerError)

		return
	}

	b.send(w, r)
}

// answer makes an answer, and lets the next one begin.
func (v *server) answer(contentType string, write func(io.Writer, *snapshot) error) (*body, error) {
	defer func() { <-v.turn }()

	s := v.gather(v.now())

	return pack(contentType, func(to io.Writer) error { return write(to, &s) })
}
