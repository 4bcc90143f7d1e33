package lint

import (
	"io"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/filemode"
	"fluent-bit-defender/tokens"
)

// credentialEnds checks when client certificates and client secrets end: each certificate
// file once, and each secret of an application once.
func (l *linter) credentialEnds() {
	seen := map[credentialEnd]bool{}

	for i, in := range l.parsed {
		if in == nil {
			continue
		}

		for _, t := range in.Examples() {
			end := endOf(t)
			if seen[end] {
				continue
			}

			seen[end] = true

			at := config.Place{File: in.TenantsFile, Key: end.key, Tenant: t.TenantName}
			if in.TenantsFile == "" && i < len(l.sections) {
				at.File, at.Line = l.sections[i].Where(at.Key)
			}

			l.forecast(at, end, time.Now())
		}
	}
}

// credentialEnd is what the end of a credential is known by.
type credentialEnd struct {
	key      string
	path     string // of a certificate
	clientID alert.ClientID
	day      time.Time // of a secret
}

// endOf returns by what the end of a tenant's credential is known.
func endOf(t config.Tenant) credentialEnd {
	if t.ClientCertificateFile != "" {
		return credentialEnd{key: "client_certificate_file", path: t.ClientCertificateFile}
	}

	return credentialEnd{
		key:      "client_secret_expires",
		clientID: t.ClientID,
		day:      t.ClientSecretExpires,
	}
}

// forecast reports a credential that ends soon, or has ended.
func (l *linter) forecast(at config.Place, end credentialEnd, now time.Time) {
	var (
		f    tokens.Forecast
		file string
	)

	if end.path != "" {
		f = certificateEnd(end.path)
		file = ": " + plain.Text(end.path, 256)
	} else {
		f = tokens.App{SecretEnds: end.day}.SecretForecast(now)
	}

	if !f.Soon {
		return
	}

	level := Warning
	if f.Ended {
		level = Error
	}

	l.add(level, at, f.Text+file, f.Remedy)
}

// certificateEnd forecasts the end of the certificate in a file; who reads the file for
// signing in says what is wrong with it otherwise.
func certificateEnd(path string) tokens.Forecast {
	f, err := filemode.Open(path)
	if err != nil {
		return tokens.Forecast{}
	}
	defer f.Close()

	pem, err := io.ReadAll(io.LimitReader(f, maxLook))
	if err != nil {
		return tokens.Forecast{}
	}

	info, err := tokens.InspectCertificate(pem)
	if err != nil {
		return tokens.Forecast{}
	}

	return info.Forecast(time.Now())
}
