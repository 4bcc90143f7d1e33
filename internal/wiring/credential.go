package wiring

import (
	"fmt"
	"log/slog"

	"fluent-bit-defender/internal/clientcert"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/tokens"
)

// credential returns how the application proves itself: by a secret, by a secret file or
// certificate file that is read again when it changes, or not at all (nil).
func credential(t config.Tenant, log *slog.Logger) tokens.Credential {
	switch text := t.ClientSecret; { // the function keeps the text, not the tenant
	case !text.IsZero():
		return tokens.Secret(func() (secret.Text, error) { return text, nil })
	case t.ClientSecretFile != "":
		return tokens.Secret(SecretFile("client_secret_file", t.ClientSecretFile, log))
	case t.ClientCertificateFile != "":
		return tokens.Certificate(certificateFile(t.ClientCertificateFile, log))
	}

	return nil
}

// seed returns the function that reads the configured refresh token, nil if none is.
func seed(t config.Tenant, log *slog.Logger) func() (secret.Text, error) {
	switch text := t.RefreshToken; { // as above
	case !text.IsZero():
		return func() (secret.Text, error) { return text, nil }
	case t.RefreshTokenFile != "":
		return SecretFile("refresh_token_file", t.RefreshTokenFile, log)
	}

	return nil
}

// SecretFile returns a function that reads a secret file again when it has changed. When
// the file cannot be used any more, the last good content stays in use and one line says
// so. key is the option that names the file.
func SecretFile(key, path string, log *slog.Logger) func() (secret.Text, error) {
	return watched(key, path, config.ReadSecret, log)
}

// certificateFile is SecretFile for a PEM file with certificate and private key.
func certificateFile(path string, log *slog.Logger) func() ([]byte, error) {
	const key = "client_certificate_file"

	value := watched(key, path, readCertificate, log)

	return func() ([]byte, error) {
		text, err := value()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}

		return text, nil
	}
}

// readCertificate returns the text of a PEM file after checking that it can be used to
// sign in.
func readCertificate(path string) ([]byte, error) {
	text, err := config.ReadPEM(path)
	if err == nil {
		_, _, err = clientcert.Parse(text)
	}

	return text, err
}

// watched returns a function that reads a file with read, again whenever the file has
// changed. If that fails, the last good content stays in use, and a line that begins
// with key says why.
func watched[T any](key, path string, read func(string) (T, error), log *slog.Logger) func() (T, error) {
	report := func(err error) { log.Error(key + ": " + err.Error()) }

	return config.WatchFile(path, read, report).Value
}
