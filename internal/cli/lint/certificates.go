package lint

import (
	"io"
	"time"

	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/filemode"
	"fluent-bit-defender/tokens"
)

// certificates checks the ends of client certificates, of each file once.
func (l *linter) certificates() {
	seen := map[string]bool{}

	for i, in := range l.parsed {
		if in == nil {
			continue
		}

		for _, t := range in.Tenants {
			path := t.ClientCertificateFile
			if path == "" || seen[path] {
				continue
			}

			seen[path] = true

			end := certificateEnd(path)
			if !end.Soon {
				continue
			}

			at := config.Place{File: in.TenantsFile, Key: "client_certificate_file", Tenant: t.TenantName}
			if in.TenantsFile == "" && i < len(l.sections) {
				at.File, at.Line = l.sections[i].Where(at.Key)
			}

			level := Warning
			if end.Ended {
				level = Error
			}

			l.add(level, at, end.Text+": "+plain.Text(path, 256), end.Remedy)
		}
	}
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
