package cli_test

import (
	"bytes"
	"encoding/base64"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// LoginURL is the sign-in service as this world's commands know it: the simulator, or a
// proxy before it.
func (w *world) LoginURL() string {
	if w.login != "" {
		return w.login
	}

	return w.Simulator.LoginURL()
}

// proxy puts something between the command and the sign-in service.
func (w *world) proxy(t *testing.T, request func(*http.Request), answer func(*http.Response) error) string {
	t.Helper()

	target, err := url.Parse(w.Simulator.LoginURL())
	if err != nil {
		t.Fatal(err)
	}

	p := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			request(r.Out)
		},
		ModifyResponse: answer,
		// A command that ends breaks its requests off, which is no news.
		ErrorLog: log.New(io.Discard, "", 0),
	}
	s := httptest.NewServer(p)
	t.Cleanup(s.Close)

	return s.URL
}

// quickPolls makes the service ask for one second between polls of a device code; each
// poll calls polled.
func (w *world) quickPolls(t *testing.T, polled func()) {
	interval := regexp.MustCompile(`"interval":"?\d+"?`)
	w.login = w.proxy(t, func(r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/token") {
			polled()
		}
	}, func(r *http.Response) error {
		if !strings.HasSuffix(r.Request.URL.Path, "/devicecode") {
			return nil
		}

		body, err := io.ReadAll(r.Body)
		if err != nil {
			return err
		}

		body = interval.ReplaceAll(body, []byte(`"interval":1`))
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		r.Header.Del("Content-Length")

		return nil
	})
}

// tenantSwapper signs in to fabrikam whatever tenant was asked for.
func (w *world) tenantSwapper(t *testing.T) string {
	return w.proxy(t, func(r *http.Request) { r.URL.Path = strings.Replace(r.URL.Path, contoso, fabrikam, 1) }, nil)
}

// key writes a key file.
func (w *world) key(name string) string {
	w.t.Helper()
	return w.file(name+".key", base64.StdEncoding.EncodeToString(bytes.Repeat([]byte(name), 32))+"\n")
}

// conf writes a configuration with contoso and the repository's advice, plus lines for
// its input, and returns its path.
func (w *world) conf(api string, lines ...string) string {
	w.t.Helper()

	return w.file(
		"fluent-bit.conf",
		"[SERVICE]\n    storage.path /var/lib/fluent-bit\n[INPUT]\n    Name defender\n    Tag defender.contoso\n"+
			"    Threaded Off\n    storage.type filesystem\n"+
			"    tenant_id "+contoso+"\n    tenant_name contoso\n    client_id "+
			""+client+"\n    client_secret_file "+w.secretFile()+"\n    api "+api+"\n    login_url "+w.LoginURL()+
			"\n    api_url "+w.APIURL(api)+"\n    data_dir "+w.dir+"\n    "+strings.Join(lines, "\n    ")+
			"\n[OUTPUT]\n    Name stdout\n    Match defender.*\n    Retry_Limit no_limits\n",
	)
}
