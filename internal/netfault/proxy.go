package netfault

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// ProxyError is a proxy's refusal to make a connection.
type ProxyError struct {
	// Status is the HTTP status that it answered to CONNECT.
	Status int
}

// Error implements error. It quotes nothing of the proxy's text.
func (e *ProxyError) Error() string {
	text := fmt.Sprintf("the proxy answers: %d %s", e.Status, http.StatusText(e.Status))
	return strings.TrimSpace(text)
}

// CheckProxy returns a ProxyError for every answer to CONNECT except 200. It is for
// http.Transport.OnProxyConnectResponse: without it the error of net/http has only the
// text of the status line, which a proxy may choose freely.
func CheckProxy(_ context.Context, _ *url.URL, _ *http.Request, res *http.Response) error {
	if res.StatusCode == http.StatusOK {
		return nil
	}

	return &ProxyError{Status: res.StatusCode}
}

// proxyStatus returns the status with which a proxy answered to CONNECT, 0 if err is
// something else. Without CheckProxy it recognises only the standard texts of HTTP,
// since the error of net/http is the text of the status line.
func proxyStatus(err error) int {
	var refusal *ProxyError
	if errors.As(err, &refusal) {
		return refusal.Status
	}

	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}

	if err == nil {
		return 0
	}

	text := err.Error()
	for code := http.StatusBadRequest; code <= http.StatusNetworkAuthenticationRequired; code++ {
		if phrase := http.StatusText(code); phrase != "" && strings.EqualFold(phrase, text) {
			return code
		}
	}

	return 0
}
