package wiring

import (
	"time"

	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/tokens"
)

// CredentialForecast returns what is known about the end of the application's own
// credential. It returns the zero value if nothing is known, and if the file cannot be
// read, which a sign-in reports.
func CredentialForecast(t config.Tenant, now time.Time) tokens.Forecast {
	if t.ClientCertificateFile == "" {
		return tokens.App{SecretEnds: t.ClientSecretExpires}.SecretForecast(now)
	}

	pem, err := config.ReadPEM(t.ClientCertificateFile)
	if err != nil {
		return tokens.Forecast{}
	}

	info, err := tokens.InspectCertificate(pem)
	if err != nil {
		return tokens.Forecast{}
	}

	return info.Forecast(now)
}
